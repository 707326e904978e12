# One image for workers, the dashboard and every other command: `docker run IMAGE worker --help`.
#
# torch comes with CUDA unless pip is shown a CPU build, which is a tenth of the size:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=<PyTorch's index of CPU builds> -t hpo .
FROM python:3.12-slim

ARG PIP_EXTRA_INDEX_URL

# The cache of downloaded data is a folder of its own, for a volume; a new volume takes over its owner.
ENV PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/cache
RUN useradd --create-home hpo && mkdir /cache && chown hpo:hpo /cache

WORKDIR /src
# By itself, so that a change to the code does not fetch it again.
COPY constraints.txt .
RUN pip install --no-cache-dir -c constraints.txt torch
COPY pyproject.toml README.md LICENSE cli.py ./
COPY hpo hpo
COPY search_spaces search_spaces
COPY storage storage
RUN pip install --no-cache-dir -c constraints.txt '.[postgres,mysql]'

USER hpo
WORKDIR /home/hpo
ENTRYPOINT ["hpo"]
