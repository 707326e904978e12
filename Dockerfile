# One image for every hpo command: `docker run IMAGE worker --help`.
#
# By default pip installs torch with CUDA. A CPU build is a tenth of the size:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=<PyTorch's index of CPU builds> -t hpo .
FROM python:3.12-slim

ARG PIP_EXTRA_INDEX_URL

# Downloaded data go to /cache, where a volume can be mounted. A new volume gets the owner of /cache.
ENV PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/cache
RUN useradd --create-home hpo && mkdir /cache && chown hpo:hpo /cache

WORKDIR /src
# A layer for torch alone, so that a change to the code does not download torch again.
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
