"""Customers, what is sold to them, and what stands on their next invoice."""

from tests.stripe_standin.objects import Account, Object, Refusal, missing, page

DAY_S = 86400


class Catalog:
    """The customers, products, prices and subscriptions of an account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.customers: dict[str, Object] = {}
        self.products: dict[str, Object] = {}
        self.prices: dict[str, Object] = {}
        self.subscriptions: dict[str, Object] = {}
        self.invoice_items: dict[str, Object] = {}

    def create_customer(self, asked: Object) -> Object:
        fields = {key: asked.get(key) for key in ("name", "email")}
        return self._account.keep(
            self.customers, "cus", "customer", {**fields, "metadata": asked.get("metadata", {})}
        )

    def customer(self, customer_id: str) -> Object:
        if customer_id not in self.customers:
            raise missing("customer", customer_id)
        return self.customers[customer_id]

    def create_product(self, asked: Object) -> Object:
        if asked["id"] in self.products:
            raise Refusal(400, "Product already exists.", code="resource_already_exists")
        fields = {
            "id": asked["id"],
            "active": True,
            "description": None,
            "images": [],
            "marketing_features": [],
            "metadata": asked.get("metadata", {}),
            "name": asked["name"],
            "package_dimensions": None,
            "shippable": None,
            "tax_code": None,
            "unit_label": asked.get("unit_label"),
            "updated": int(self._account.now()),
            "url": None,
        }
        return self._account.keep(self.products, "prod", "product", fields)

    def product(self, product_id: str) -> Object:
        if product_id not in self.products:
            raise missing("product", product_id)
        return self.products[product_id]

    def create_price(self, asked: Object) -> Object:
        key = asked.get("lookup_key")
        if key and any(price["lookup_key"] == key for price in self.prices.values()):
            raise Refusal(400, f"A price already uses the lookup key {key}.")
        if asked["product"] not in self.products:
            raise missing("product", asked["product"])
        meter = asked["recurring"].get("meter")
        decimal = asked.get("unit_amount_decimal") or _decimal(asked.get("unit_amount"))
        tiers = [
            {
                "flat_amount": None,
                "flat_amount_decimal": None,
                "unit_amount": None,
                "unit_amount_decimal": tier["unit_amount_decimal"],
                "up_to": None if tier["up_to"] == "inf" else tier["up_to"],
            }
            for tier in asked.get("tiers", ())
        ]
        fields = {
            "active": True,
            "billing_scheme": asked.get("billing_scheme", "per_unit"),
            "currency": asked["currency"],
            "lookup_key": key,
            "metadata": asked.get("metadata", {}),
            "nickname": asked.get("nickname"),
            "product": asked["product"],
            "recurring": {
                "interval": asked["recurring"]["interval"],
                "interval_count": 1,
                "meter": meter,
                "trial_period_days": None,
                "usage_type": asked["recurring"].get("usage_type", "licensed"),
            },
            "tiers_mode": asked.get("tiers_mode"),
            "transform_quantity": None,
            "type": "recurring",
            "unit_amount": None if decimal is None or "." in decimal else int(decimal),
            "unit_amount_decimal": decimal,
        }
        kept = self._account.keep(self.prices, "price", "price", fields)
        if tiers:
            kept["tiers"] = tiers
        return kept

    def list_prices(self, asked: Object) -> Object:
        wanted = asked.get("lookup_keys")
        found = [p for p in self.prices.values() if not wanted or p["lookup_key"] in wanted]
        return page(found, asked, "/v1/prices")

    def create_subscription(self, asked: Object) -> Object:
        self.customer(asked["customer"])
        now = int(self._account.now())
        number = next(self._account.numbers)
        items = [
            {
                "id": f"si_{number}_{place}",
                "object": "subscription_item",
                "billing_thresholds": None,
                "created": now,
                "current_period_start": now,
                "current_period_end": now + 30 * DAY_S,
                "discounts": [],
                "metadata": {},
                "price": self._price(item["price"]),
                "subscription": f"sub_{number}",
                "tax_rates": None,
                **({"quantity": item["quantity"]} if "quantity" in item else {}),
            }
            for place, item in enumerate(asked["items"])
        ]
        fields = {
            "id": f"sub_{number}",
            "automatic_tax": {"enabled": False, "disabled_reason": None, "liability": None},
            "billing_cycle_anchor": now,
            "billing_mode": {"type": "flexible", "flexible": None},
            "billing_schedules": [],
            "cancel_at_period_end": False,
            "collection_method": "charge_automatically",
            "currency": "usd",
            "customer": asked["customer"],
            "discounts": [],
            "invoice_settings": {"issuer": {"type": "self"}, "account_tax_ids": None},
            "items": page(items, {}, "/v1/subscription_items"),
            "metadata": asked.get("metadata", {}),
            "start_date": now,
            "status": "active",
        }
        return self._account.keep(self.subscriptions, "sub", "subscription", fields)

    def list_subscriptions(self, asked: Object) -> Object:
        found = [s for s in self.subscriptions.values() if s["customer"] == asked["customer"]]
        return page(found, asked, "/v1/subscriptions")

    def create_invoice_item(self, asked: Object) -> Object:
        self.customer(asked["customer"])
        decimal = asked["unit_amount_decimal"]
        fields = {
            "amount": round(float(decimal)),
            "currency": asked["currency"],
            "customer": asked["customer"],
            "date": int(self._account.now()),
            "description": asked.get("description"),
            "discountable": True,
            "discounts": [],
            "invoice": None,
            "metadata": asked.get("metadata", {}),
            "period": {"start": int(self._account.now()), "end": int(self._account.now())},
            "pricing": None,
            "parent": None,
            "proration": False,
            "quantity": 1,
            "quantity_decimal": "1",
            "test_clock": None,
        }
        kept = self._account.keep(self.invoice_items, "ii", "invoiceitem", fields)
        kept.pop("created")
        return kept

    def list_invoice_items(self, asked: Object) -> Object:
        found = [i for i in self.invoice_items.values() if i["customer"] == asked["customer"]]
        return page(found, asked, "/v1/invoiceitems")

    def _price(self, price_id: str) -> Object:
        if price_id not in self.prices:
            raise missing("price", price_id)
        return {key: value for key, value in self.prices[price_id].items() if key != "tiers"}


def _decimal(amount: int | None) -> str | None:
    return None if amount is None else str(amount)
