# SPDX-License-Identifier: Apache-2.0
"""A feature network of the user's own."""

import importlib

from torch import Tensor, nn

from scam.errors import InputError


class CustomExtractor(nn.Module):
    """uint8 (B, 3, H, W) -> (B, D) by a network that somebody's ``module:function`` returns."""

    def __init__(self, spec: str) -> None:
        super().__init__()
        self.name = spec.replace(":", ".")
        module, colon, function = spec.partition(":")
        if not colon or not function:
            raise InputError("{extractor}: expected MODULE:FUNCTION", extractor=spec)
        try:
            network = getattr(importlib.import_module(module), function)()
        except Exception as error:  # whatever that code may raise
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise InputError(f"{{extractor}}: {reason}", extractor=spec) from error
        if not isinstance(network, nn.Module):
            made = type(network).__name__
            raise InputError(f"{{extractor}}: made a {made}, no nn.Module", extractor=spec)
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class; InputError when the result is not (B, D) and floating."""
        features = self.network(pictures)
        fits = isinstance(features, Tensor) and features.is_floating_point()
        if not fits or features.dim() != 2 or len(features) != len(pictures):
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features)
            raise InputError(
                f"{{extractor}}: returned {found} for {tuple(pictures.shape)}, "
                "expected floating (B, D)",
                extractor=self.name,
            )
        return features
