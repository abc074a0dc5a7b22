# make segment in a container, for people who do not want the environment on their machine:
#
#   docker build -t ftu .                                    # for CPUs
#   docker build -t ftu --build-arg COMPUTE=cuda .           # for NVIDIA's GPUs; run it with --gpus all
#   docker run --rm -v "$PWD:/work" ftu slides --model /work --organ kidney --out results
#
# The folder that is mounted is a trained project or holds a bundle (make bundle); its owner has to let user 1000 write,
# or say `--user "$(id -u):$(id -g)"`.
#
# No image has been built of this file yet: the machines that it was written on have no Docker and no index of CPU builds of
# torch. Of its commands the export of requirements and the entry point were run by themselves.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS tools
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir uv \
    && useradd --create-home --uid 1000 ftu
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_CACHE=1

# What .devcontainer/devcontainer.json opens: `make env` makes the environment there.
FROM tools AS development
USER ftu

FROM tools AS environment
ARG COMPUTE=cpu
WORKDIR /opt/ftu
COPY pyproject.toml uv.lock ./
# uv.lock has torch with CUDA. For CPUs its versions are kept, its CUDA libraries left out, and torch is the build without.
RUN case "$COMPUTE" in \
    cuda) uv sync --locked --no-dev --extra slides --compile-bytecode ;; \
    cpu) uv venv .venv \
        && uv export --quiet --locked --no-dev --extra slides --no-hashes --no-annotate --no-header -o all.txt \
        && grep --invert-match --extended-regexp '^(nvidia|cuda|triton)' all.txt > cpu.txt \
        && uv pip install --python .venv --torch-backend cpu --compile-bytecode -r cpu.txt ;; \
    *) echo "COMPUTE: $COMPUTE is neither cpu nor cuda" >&2; exit 1 ;; \
    esac

FROM python:${PYTHON}-slim
RUN useradd --create-home --uid 1000 ftu
COPY --from=environment /opt/ftu/.venv /opt/ftu/.venv
COPY src /opt/ftu/src
COPY LICENSE /opt/ftu/
ENV PATH=/opt/ftu/.venv/bin:$PATH PYTHONPATH=/opt/ftu/src PYTHONDONTWRITEBYTECODE=1
WORKDIR /work
USER ftu
ENTRYPOINT ["python", "-m", "ftu_tools.segment"]
CMD ["--help"]
