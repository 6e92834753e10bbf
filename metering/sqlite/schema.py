"""The SQLite schema, as the steps that lead to it. A step that was released never changes.

`PRAGMA user_version` counts the steps that a file has taken.
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE accounts (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            created_at REAL NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE api_keys (
            id TEXT PRIMARY KEY,
            account_id TEXT NOT NULL REFERENCES accounts (id),
            hash BLOB NOT NULL,
            label TEXT NOT NULL,
            created_at REAL NOT NULL,
            revoked_at REAL
        ) STRICT
        """,
        "CREATE INDEX api_keys_of_account ON api_keys (account_id, created_at)",
        """
        CREATE TABLE sessions (
            id TEXT PRIMARY KEY,
            account_id TEXT NOT NULL REFERENCES accounts (id),
            key_id TEXT REFERENCES api_keys (id),
            state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
            segment INTEGER NOT NULL DEFAULT 0,
            opened_at REAL NOT NULL,
            last_seen_at REAL NOT NULL,
            closed_at REAL,
            close_reason TEXT,
            receipt TEXT,
            CHECK ((state = 'closed') = (receipt IS NOT NULL))
        ) STRICT
        """,
        "CREATE INDEX sessions_of_account ON sessions (account_id, opened_at, id)",
        "CREATE INDEX sessions_by_idleness ON sessions (last_seen_at) WHERE state = 'open'",
        """
        CREATE TABLE turns (
            response_id TEXT PRIMARY KEY,
            session_id TEXT NOT NULL REFERENCES sessions (id),
            account_id TEXT NOT NULL REFERENCES accounts (id),
            segment INTEGER NOT NULL,
            model TEXT NOT NULL,
            input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
            cached_tokens INTEGER NOT NULL CHECK (cached_tokens BETWEEN 0 AND input_tokens),
            output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
            images INTEGER NOT NULL CHECK (images >= 0),
            detections INTEGER NOT NULL CHECK (detections >= 0),
            at REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX turns_of_session ON turns (session_id)",
        """
        CREATE TABLE usage_records (
            response_id TEXT NOT NULL REFERENCES turns (response_id),
            meter TEXT NOT NULL CHECK (meter IN ('tokens', 'images', 'detections')),
            session_id TEXT NOT NULL REFERENCES sessions (id),
            account_id TEXT NOT NULL REFERENCES accounts (id),
            segment INTEGER NOT NULL,
            raw_units INTEGER NOT NULL CHECK (raw_units >= 0),
            billable_units INTEGER NOT NULL CHECK (billable_units >= 0),
            unit_price_micro_usd INTEGER NOT NULL CHECK (unit_price_micro_usd >= 0),
            cost_micro_usd INTEGER NOT NULL
                CHECK (cost_micro_usd = billable_units * unit_price_micro_usd),
            price_version TEXT NOT NULL,
            created_at REAL NOT NULL,
            PRIMARY KEY (response_id, meter)
        ) STRICT
        """,
        "CREATE INDEX usage_records_of_session ON usage_records (session_id, segment)",
    ),
    ("ALTER TABLE sessions ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}'",),
    (
        """
        CREATE TABLE budgets (
            account_id TEXT PRIMARY KEY REFERENCES accounts (id),
            limit_micro_usd INTEGER NOT NULL CHECK (limit_micro_usd >= 0),
            hard INTEGER NOT NULL CHECK (hard IN (0, 1))
        ) STRICT
        """,
        """
        CREATE TABLE holds (
            response_id TEXT PRIMARY KEY,
            account_id TEXT NOT NULL REFERENCES accounts (id),
            granted_micro_usd INTEGER NOT NULL CHECK (granted_micro_usd >= 0),
            left_micro_usd INTEGER NOT NULL,
            until REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX holds_of_account ON holds (account_id)",
        """
        CREATE TABLE spending (
            account_id TEXT NOT NULL REFERENCES accounts (id),
            month TEXT NOT NULL,
            cost_micro_usd INTEGER NOT NULL,
            PRIMARY KEY (account_id, month)
        ) STRICT
        """,
        """
        INSERT INTO spending (account_id, month, cost_micro_usd)
        SELECT account_id, strftime('%Y-%m', created_at, 'unixepoch'), sum(cost_micro_usd)
        FROM usage_records GROUP BY 1, 2
        """,
    ),
)
