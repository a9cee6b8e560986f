# The admin side: models, migrations, manifest and the `ringfence` command, for the migration job alone.
#
#   docker build --file deploy/schema.Dockerfile .

FROM python:3.11-slim AS wheels
WORKDIR /build
COPY requirements.lock ./
COPY runtime/ runtime/
COPY schema/ schema/
# The versions are the lock's; its hashes are left out, for pip wants either all hashes or none, and two wheels are ours.
RUN sed -e 's/ *\\$//' -e '/^ *--hash/d' requirements.lock > constraints.txt \
 && pip wheel --no-cache-dir --constraint constraints.txt --wheel-dir /wheels \
      "./runtime[postgresql,mysql]" "./schema[postgresql,mysql]"

FROM python:3.11-slim
COPY --from=wheels /wheels /wheels
RUN pip install --no-cache-dir --no-index /wheels/*.whl && rm -r /wheels
WORKDIR /platform
COPY services/ringfence.toml services/access.yaml services/alembic.ini services/platform_words.py services/
COPY services/platform_models/ services/platform_models/
COPY services/migrations/ services/migrations/
COPY services/mirrors/ services/mirrors/
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65534:65534
CMD ["ringfence", "-C", "services", "migrate"]
