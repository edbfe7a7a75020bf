# syntax=docker/dockerfile:1
#
# memsidecar as an image: `docker build -t memsidecar .`, then `docker run … memsidecar serve` or `… memsidecar worker`.
# docs/container.md says how to run it, and how to pin what it is built from.
#
# For a build that is the same tomorrow, name both images by digest, which tags are not:
#   docker buildx imagetools inspect python:3.11-slim-bookworm    # shows "Digest: sha256:<digest>"
#   docker build --build-arg RUNTIME_IMAGE=python:3.11-slim-bookworm@sha256:<digest> \
#                --build-arg BUILD_IMAGE=python:3.11-bookworm@sha256:<digest> -t memsidecar .
# Both must be of one Python and one Debian: what the first stage makes runs in the second.
ARG BUILD_IMAGE=python:3.11-bookworm
ARG RUNTIME_IMAGE=python:3.11-slim-bookworm

# It has the C compiler that the wheel wants. Nothing of this stage but /opt/memsidecar reaches the image.
FROM ${BUILD_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src

# What changes seldom comes first, so that a change of the sources does not fetch the packages again.
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt
RUN python -m venv --without-pip /opt/memsidecar \
    && python -m pip --python /opt/memsidecar/bin/python install --require-hashes --only-binary :all: -r requirements/runtime.txt

COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY sidecar sidecar
# A build that could not compile warns and goes on, with a slower package; the last line does not let that pass.
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && python -m pip --python /opt/memsidecar/bin/python install --no-deps --no-index /dist/*.whl \
    && /opt/memsidecar/bin/python -P -c "import sidecar.session.session as module; assert module.__file__.endswith('.so')"

FROM ${RUNTIME_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="memsidecar" \
      org.opencontainers.image.description="Conversation memory for LLM agents over the Redis protocol" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Nothing in the image installs anything, and no file of it belongs to the user that runs it.
RUN python -m pip uninstall --yes --no-cache-dir --root-user-action ignore pip setuptools wheel \
    && groupadd --gid 10001 memsidecar \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin memsidecar
COPY --from=build /opt/memsidecar /opt/memsidecar
# Redis clients come from the same pod, by loopback; Prometheus and the kubelet come from outside, and see no content.
ENV PATH=/opt/memsidecar/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MEMSIDECAR_HTTP_LISTEN=0.0.0.0:9464
# By number, which is what Kubernetes' runAsNonRoot looks at.
USER 10001:10001
WORKDIR /
EXPOSE 6380 9464
# Of `serve`. Whether Redis is there is /readyz's business: a sidecar that waits for it need not be restarted.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://' + os.environ['MEMSIDECAR_HTTP_LISTEN'] + '/healthz', timeout=2)"]
ENTRYPOINT ["memsidecar"]
CMD ["serve"]
