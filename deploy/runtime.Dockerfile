# The service side: one service, its mirror and the runtime. No SQLAlchemy, no Alembic, nothing that can alter a schema.
#
#   docker build --file deploy/runtime.Dockerfile --build-arg SERVICE=backend-api --build-arg PACKAGE=backend_api .

FROM python:3.11-slim AS wheels
WORKDIR /build
COPY requirements.lock ./
COPY runtime/ runtime/
# The versions are the lock's; its hashes are left out, for pip wants either all hashes or none, and the runtime is ours.
RUN sed -e 's/ *\\$//' -e '/^ *--hash/d' requirements.lock > constraints.txt \
 && pip wheel --no-cache-dir --constraint constraints.txt --wheel-dir /wheels \
      "./runtime[postgresql,mysql,flask,metrics]" gunicorn pydantic

FROM python:3.11-slim
COPY --from=wheels /wheels /wheels
RUN pip install --no-cache-dir --no-index /wheels/*.whl && rm -r /wheels
ARG SERVICE PACKAGE
WORKDIR /platform
COPY services/platform_words.py services/
COPY services/platform_web/ services/platform_web/
COPY services/${PACKAGE}/ services/${PACKAGE}/
COPY services/mirrors/${SERVICE}.json services/mirrors/
ENV PYTHONPATH=services PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 WEB_BIND=0.0.0.0:8000
USER 65534:65534
EXPOSE 8000
