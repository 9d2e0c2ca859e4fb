"""A control plane of one file: signs real permits, lists routes, ends standing when told to."""

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inference.contract import ReasoningPolicy, licence_ended_problem
from inference.permit import PermitClaims, sign
from registry.artifact.guard import guard_digest

CHECKPOINT = "sha256:" + "c" * 64
GATEWAY_TOKEN = "gateway-token"
REPLICA_TOKEN = "replica-token"
ENDED = licence_ended_problem(
    detail="The licence ended when a patent suit was filed.",
    licence="nvidia-open-model-2025-10-24",
    licence_title="NVIDIA Open Model License Agreement",
    version="2025-10-24",
    section="2.1",
    quote="this Agreement will terminate as of the date such litigation is filed",
    matter="m-1",
    effective="2026-11-23",
    model="nvidia/NVIDIA-Nemotron-Nano-9B-v2",
)


@dataclass
class FakeIssuer:
    """`dead` answers 503 to everything; `ended` maps endpoint names to their 451 body.

    `guards` maps endpoint names to what their route says of a guard; `claimed` to the digest in
    their permits, where that is to be another.
    """

    ttl_seconds: int = 5
    policy: ReasoningPolicy = field(default_factory=ReasoningPolicy)
    dead: bool = False
    frozen_serial: bool = False
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    spare_urls: dict[str, str] = field(default_factory=dict)
    guards: dict[str, dict[str, Any]] = field(default_factory=dict)
    claimed: dict[str, str | None] = field(default_factory=dict)
    serial: int = 0
    renewals: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    def add_endpoint(self, name: str, *keys: str, url: str = "", expires_at: Any = None) -> None:
        """Add an endpoint; with a `url` it has one replica, `<name>-replica`, there."""
        listed = [
            {
                "id": key,
                "sha256": hashlib.sha256(key.encode()).hexdigest(),
                "expires_at": expires_at,
            }
            for key in keys
        ]
        self.endpoints[name] = {"keys": listed, "url": url, "org": "acme"}

    def put_guard(self, name: str, document: dict[str, Any]) -> str:
        """Put a guard before an endpoint; return its digest."""
        digest = guard_digest(document)
        self.guards[name] = {"digest": digest, "document": document}
        return digest

    def permit(self, endpoint: str, replica: str | None = None) -> str:
        if not self.frozen_serial:
            self.serial += 1
        claims = PermitClaims(
            replica=replica or f"{endpoint}-replica",
            permit_id=f"permit-{self.serial}",
            endpoint=f"{endpoint}-id",
            endpoint_name=endpoint,
            checkpoint=CHECKPOINT,
            decision="decision-1",
            serial=self.serial,
            issued_at=int(time.time()),
            reasoning_policy=self.policy,
            ttl_seconds=self.ttl_seconds,
            guard=self.claimed.get(endpoint, self.guards.get(endpoint, {}).get("digest")),
        )
        return sign(self._key, claims, key_id="k1")

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/keys", self._keys),
                Route("/routes", self._routes),
                Route("/permits/renew", self._renew, methods=["POST"]),
            ]
        )

    async def _keys(self, _request: Request) -> Response:
        if self.dead:
            return JSONResponse({}, status_code=503)
        public = self._key.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return JSONResponse({"keys": [{"kid": "k1", "public_key_pem": pem}]})

    async def _renew(self, request: Request) -> Response:
        if self.dead:
            return JSONResponse({}, status_code=503)
        body = await request.json()
        self.renewals.append(body)
        endpoint = str(body["replica"]).removesuffix("-replica")
        if request.headers["authorization"] != f"Bearer {REPLICA_TOKEN}":
            return JSONResponse({"code": "not_entitled"}, status_code=403)
        if endpoint in self.ended:
            return JSONResponse(self.ended[endpoint], status_code=451)
        return JSONResponse({"permit": self.permit(endpoint)})

    async def _routes(self, request: Request) -> Response:
        if self.dead:
            return JSONResponse({}, status_code=503)
        if request.headers["authorization"] != f"Bearer {GATEWAY_TOKEN}":
            return JSONResponse({"code": "not_entitled"}, status_code=403)
        return JSONResponse(
            {"generation": 1, "endpoints": [self._route(name) for name in self.endpoints]}
        )

    def _route(self, name: str) -> dict[str, Any]:
        endpoint = self.endpoints[name]
        ended = self.ended.get(name)
        replica = {
            "id": f"{name}-replica",
            "url": endpoint["url"],
            "token": REPLICA_TOKEN,
            "permit": None if ended else self.permit(name),
        }
        return {
            "id": f"{name}-id",
            "name": name,
            "org": endpoint["org"],
            "checkpoint": CHECKPOINT,
            "reasoning_policy": self.policy.to_json(),
            "keys": endpoint["keys"],
            "ended": ended,
            "guard": self.guards.get(name),
            "replicas": ([replica] if endpoint["url"] else []) + self._spare(name),
        }

    def _spare(self, name: str) -> list[dict[str, Any]]:
        """List a second replica of the endpoint, where a test has put one."""
        if name not in self.spare_urls:
            return []
        spare = f"{name}-spare"
        permit = self.permit(name, spare)
        return [
            {"id": spare, "url": self.spare_urls[name], "token": REPLICA_TOKEN, "permit": permit}
        ]
