# The control plane: web, permit issuer or Celery worker, by command.
FROM python:3.12-slim
RUN useradd --create-home --uid 10001 lictor && mkdir /var/lib/lictor && chown lictor /var/lib/lictor
WORKDIR /app
COPY requirements.lock pyproject.toml ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
# The worker of the local target starts runtimes, so its image holds torch too.
ARG WITH_TORCH=0
RUN if [ "$WITH_TORCH" = 1 ]; then pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu; fi
COPY manage.py ./
COPY config config
COPY registry registry
COPY compliance compliance
COPY deployer deployer
COPY dashboard dashboard
COPY inference inference
USER lictor
ENV LICTOR_VAR=/var/lib/lictor PYTHONUNBUFFERED=1
EXPOSE 8400
CMD ["gunicorn", "config.wsgi:application", "--bind", "0.0.0.0:8400", "--worker-class", "gthread", "--threads", "8"]
