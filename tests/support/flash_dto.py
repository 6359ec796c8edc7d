"""The venue's messages as a JSON schema, by the ``required`` lists of its published openapi.v2.json."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

_TEXT = {"type": "string"}
_NUMBER_TEXT = {"type": "string", "pattern": r"^-?\d+$"}
_UI = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
_SHORT = {"type": "string", "pattern": r"^-?\d+(\.\d+)?[KMB]?$"}
_LEVERAGE = {"type": "string", "pattern": r"^(\d+\.\d{2}|Infinity)$"}
_FLAG = {"type": "boolean"}
_SIDE = {"enum": ["Long", "Short"]}
_PRICE = {"$ref": "#/$defs/price"}
_ORDER_ID = {"type": "integer", "minimum": 0}
_KEY = {"type": "string", "pattern": "^[1-9A-HJ-NP-Za-km-z]{32,44}$"}
_PRICE_OR_DASH = {"type": "string", "pattern": r"^(\d+(\.\d+)?|-)$"}


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": sorted(fields), "additionalProperties": False}


_POSITION = _object(
    dict.fromkeys(("marketSymbol", "collateralSymbol"), _TEXT)
    | dict.fromkeys(
        (
            "entryPriceUi", "sizeAmountUi", "sizeUsdUi", "collateralAmountUi", "collateralUsdUi", "pnlWithFeeUsdUi",
            "pnlPercentageWithFee", "pnlWithoutFeeUsdUi", "pnlPercentageWithoutFee", "liquidationPriceUi",
        ),
        _UI,
    )
    | dict.fromkeys(("sizeAmountUiKmb", "collateralAmountUiKmb"), _SHORT)
    | dict.fromkeys(
        ("profitUsd", "lossUsd", "exitFeeUsd", "borrowFeeUsd", "totalFeeUsd", "leverage", "marginUsd"), _NUMBER_TEXT
    )
    | {"sideUi": _SIDE, "leverageUi": _LEVERAGE, "liquidationPrice": _PRICE, "exitPrice": _PRICE}
)  # fmt: skip
_LIMIT_ORDER = _object(
    dict.fromkeys(("symbol", "reserveSymbol", "receiveTokenSymbol", "reserveTokenSymbol"), _TEXT)
    | dict.fromkeys(
        (
            "reserveAmountUi", "reserveAmountUsdUi", "sizeAmountUi", "sizeUsdUi", "collateralAmountUi",
            "collateralAmountUsdUi", "entryPriceUi", "liquidationPriceUi",
        ),
        _UI,
    )
    | dict.fromkeys(("sizeAmountUiKmb", "collateralAmountUiKmb"), _SHORT)
    | dict.fromkeys(("limitTakeProfitPriceUi", "limitStopLossPriceUi"), _PRICE_OR_DASH)
    | {"orderId": _ORDER_ID, "sideUi": _SIDE, "entryOraclePrice": _PRICE, "leverageUi": _LEVERAGE}
)  # fmt: skip
_TRIGGER_ORDER = _object(
    dict.fromkeys(("symbol", "receiveTokenSymbol", "leverage"), _TEXT)
    | dict.fromkeys(("sizeAmountUi", "sizeUsdUi", "triggerPriceUi"), _UI)
    | {"orderId": _ORDER_ID, "sideUi": _SIDE, "sizeAmountUiKmb": _SHORT, "type": {"enum": ["TP", "SL"]}}
)
_DEFS = {
    "price": _object(dict.fromkeys(("price", "exponent", "confidence", "timestamp"), _NUMBER_TEXT)),
    "positions": {"type": "object", "propertyNames": _KEY, "additionalProperties": _POSITION},
    "orders": {
        "type": "object",
        "propertyNames": _KEY,
        "additionalProperties": _object(
            {
                "marketSymbol": _TEXT,
                "sideUi": _SIDE,
                "limitOrders": {"type": "array", "items": _LIMIT_ORDER},
                "takeProfitOrders": {"type": "array", "items": _TRIGGER_ORDER},
                "stopLossOrders": {"type": "array", "items": _TRIGGER_ORDER},
            }
        ),
    },
    "basket": _object(
        {
            "owner": _KEY,
            "basketPubkey": {"anyOf": [_KEY, {"type": "null"}]},
            "basketData": {"type": ["string", "null"], "contentEncoding": "base64"},
            "positionMetrics": {"$ref": "#/$defs/positions"},
            "orderMetrics": {"$ref": "#/$defs/orders"},
        }
    ),
    "frame": {
        "oneOf": [
            _object({"type": {"const": "basket"}, "data": {"$ref": "#/$defs/basket"}}),
            _object({"type": {"const": "metrics"}, "data": {"$ref": "#/$defs/positions"}}),
        ]
    },
    "token": _object(
        dict.fromkeys(("symbol", "mintKey", "pythTicker", "pythPriceId"), _TEXT)
        | dict.fromkeys(("decimals", "usdPrecision", "tokenPrecision", "lazerId"), _ORDER_ID)
        | dict.fromkeys(("isStable", "isVirtual", "isToken2022"), _FLAG)
    ),
    "quote": _object(
        {
            "price": {"type": "integer"},
            "exponent": {"type": "integer", "maximum": -1},
            "confidence": {"type": "integer"},
            "priceUi": {"type": "number"},
            "timestampUs": {"type": "integer"},
            "marketSession": {"enum": ["regular", "preMarket", "postMarket", "overNight", "closed", None]},
        }
    ),
}


def expect_dto(name: str, body: object) -> None:
    """Refuse what is not what the venue's clients read.

    Args:
        name: Which: ``basket``, ``frame``, ``token`` or ``quote``.
        body: What was answered.
    """
    Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _DEFS}).validate(body)
