# The data path: gateway or runtime replica, by command. Holds no Django code.
FROM python:3.12-slim
RUN useradd --create-home --uid 10001 lictor
WORKDIR /app
COPY docker/runtime.txt ./
RUN pip install --no-cache-dir -r runtime.txt --extra-index-url https://download.pytorch.org/whl/cpu
COPY registry/__init__.py registry/__init__.py
COPY registry/artifact registry/artifact
COPY registry/errors.py registry/errors.py
COPY inference inference
USER lictor
ENV PYTHONUNBUFFERED=1
EXPOSE 8401
ENTRYPOINT ["python", "-m", "inference"]
CMD ["--help"]
