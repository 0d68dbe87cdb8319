FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/chatferry
WORKDIR /source

# The locked dependencies first: this layer stays until the lock changes.
COPY requirements.lock ./
RUN /opt/chatferry/bin/pip install --require-hashes --requirement requirements.lock

# The lock holds the build backend too, so nothing is fetched that has no hash.
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY producer producer
COPY consumer consumer
COPY ops ops
COPY terminal terminal
RUN /opt/chatferry/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/chatferry/bin/pip install --no-index --no-deps /wheels/*.whl


FROM python:3.12-slim
RUN groupadd --gid 10001 chatferry \
 && useradd --uid 10001 --gid chatferry --no-create-home --home-dir /state --shell /usr/sbin/nologin chatferry \
 && install --directory --owner=chatferry --group=chatferry --mode=0700 /state
COPY --from=build /opt/chatferry /opt/chatferry
ENV PATH=/opt/chatferry/bin:$PATH PYTHONUNBUFFERED=1 CHATFERRY_STATE=/state

# The producer's checkpoints: without them a run that was ended starts its files anew.
VOLUME /state
USER 10001:10001
ENTRYPOINT ["chatferry"]
CMD ["--help"]
