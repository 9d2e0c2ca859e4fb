"""Export the deployer's tables: targets, endpoints, deployments, replicas, keys."""

from deployer.models.endpoints import Deployment, Endpoint, EndpointKey, Target
from deployer.models.replicas import Replica

__all__ = ["Deployment", "Endpoint", "EndpointKey", "Replica", "Target"]
