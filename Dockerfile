# An image whose command is `pneumobundle`, for CPUs unless TORCH says otherwise; docs/containers.md.
#   make image                                     # builds the wheel, then this
#   docker run --rm --network none --read-only --tmpfs /tmp -v "$PWD:/data" pneumobundle predict scan.nii.gz --model bundle.zip
#
# The base by its full version. A digest would pin it to the byte; it stands in the registry, which was not at hand when
# this was written. To have one: docker buildx imagetools inspect python:3.11.14-slim-bookworm, then BASE=python@sha256:...
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
# The constraints' build for CPUs, or requirement and options of pip for another torch: "torch==2.13.0 --index-url URL" of a CUDA build
ARG TORCH=cpu
COPY tools/image_install.sh constraints.txt dist/*.whl /build/
RUN TORCH="$TORCH" bash /build/image_install.sh /build

FROM ${BASE}
ARG SOURCE=""
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="PneumoBundle" \
      org.opencontainers.image.description="Lungs and COVID-19 infection in chest CT. Research only; not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-NC-SA-4.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/pneumobundle /opt/pneumobundle
# Whoever it runs as, `docker run --user` included, may write to /data and /tmp alone; HOME is for caches of libraries.
# How threads wait: as pipeline/core/waiting.py says, for programs that load torch before they load that, as MONAI's does.
# How many there are it does not say: as many as cores that the container may use (--cpuset-cpus).
ENV PATH=/opt/pneumobundle/bin:$PATH \
    HOME=/tmp \
    USER=pneumobundle \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GOMP_SPINCOUNT=10000 \
    KMP_BLOCKTIME=1
RUN mkdir -p /data && chown 1000:1000 /data
USER 1000:1000
WORKDIR /data
# There is no service to ask. It tells that the program and its packages are whole and can be run by this user, which is
# all that is the image's own; how a run gets on tell its log and `pneumobundle status`
HEALTHCHECK --interval=5m --timeout=60s --start-period=30s CMD ["pneumobundle", "--version"]
ENTRYPOINT ["pneumobundle"]
