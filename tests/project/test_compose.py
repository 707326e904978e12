"""The container files name what exists, and open nothing to the network that has no login."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from tests.support.commands import run_hpo


ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "hpo"]


@pytest.mark.parametrize("name", OURS)
def test_a_command_of_the_compose_file_is_one_of_the_program(name: str) -> None:
    words = shlex.split(SERVICES[name]["command"])
    options = [word for word in words if word.startswith("--")]
    done = run_hpo(words[0], "--help")
    assert done.returncode == 0, done.stderr
    assert [option for option in options if option not in done.stdout] == []


def test_the_password_comes_from_the_environment_alone() -> None:
    values = [
        value
        for service in SERVICES.values()
        for name, value in service["environment"].items()
        if "PASSWORD" in name
    ]
    assert len(values) == len(SERVICES)
    assert all(re.fullmatch(r"\$\{HPO_DB_PASSWORD:\?[^}]+\}", value) for value in values)
    for name in OURS:
        assert sa.make_url(SERVICES[name]["environment"]["HPO_STORAGE"]).password is None


def test_only_the_dashboard_is_published_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"dashboard": ["127.0.0.1:8080:8080"]}


def test_our_services_wait_until_the_database_is_healthy() -> None:
    assert "pg_isready" in SERVICES["database"]["healthcheck"]["test"]
    for name in OURS:
        assert SERVICES[name]["depends_on"]["database"]["condition"] == "service_healthy"


def test_workers_can_be_scaled() -> None:
    assert "container_name" not in SERVICES["worker"]
    assert "ports" not in SERVICES["worker"]


def test_every_volume_is_declared() -> None:
    mounted = {line.split(":")[0] for service in SERVICES.values() for line in service["volumes"]}
    assert mounted == set(COMPOSE["volumes"])


def dockerfile(instruction: str) -> list[str]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [line.split(maxsplit=1)[1] for line in lines if line.startswith(f"{instruction} ")]


def test_what_the_image_copies_exists_and_reaches_the_engine() -> None:
    sources = {name for line in dockerfile("COPY") for name in line.split()[:-1]}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {name for name in sources if not (ROOT / name).exists()} == set()
    assert {f"!{name}" for name in sources} == {line for line in ignored if line.startswith("!")}


def test_the_image_does_not_run_as_root() -> None:
    assert dockerfile("USER") == ["hpo"]


def test_docker_compose_accepts_the_file() -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("no docker-compose here to read the file with")
    command = [program, "-f", str(ROOT / "docker-compose.yml"), "config", "--quiet"]
    for password, fine in (("secret", True), ("", False)):
        environment = os.environ | {"HPO_DB_PASSWORD": password}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is fine, done.stderr
