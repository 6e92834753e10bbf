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
        ALTER TABLE accounts ADD COLUMN plan TEXT NOT NULL DEFAULT 'dedicated'
        """,
        """
        CREATE TABLE budgets (
            account_id TEXT PRIMARY KEY REFERENCES accounts (id),
            limit_micro_usd INTEGER NOT NULL CHECK (limit_micro_usd >= 0),
            hard INTEGER NOT NULL CHECK (hard IN (0, 1)),
            locked INTEGER NOT NULL CHECK (locked IN (0, 1))
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
        "CREATE INDEX turns_of_account ON turns (account_id, at)",
        "CREATE INDEX open_sessions ON sessions (account_id) WHERE state = 'open'",
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
    (
        """
        CREATE TABLE customers (
            account_id TEXT PRIMARY KEY REFERENCES accounts (id),
            customer_id TEXT NOT NULL,
            linked_at REAL NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE outbox (
            id TEXT PRIMARY KEY,
            account_id TEXT NOT NULL REFERENCES accounts (id),
            customer_id TEXT,
            session_id TEXT REFERENCES sessions (id),
            segment INTEGER,
            meter TEXT NOT NULL CHECK (meter IN ('tokens', 'images', 'detections')),
            units INTEGER NOT NULL CHECK (units > 0),
            cost_micro_usd INTEGER NOT NULL CHECK (cost_micro_usd >= 0),
            timestamp INTEGER NOT NULL,
            hour INTEGER NOT NULL GENERATED ALWAYS AS (timestamp - timestamp % 3600) STORED,
            state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN (
                'pending', 'accepted', 'ambiguous', 'resolved', 'dead', 'expired', 'invoiced'
            )),
            attempts INTEGER NOT NULL DEFAULT 0,
            unanswered INTEGER NOT NULL DEFAULT 0,
            first_attempt_at REAL,
            next_attempt_at REAL NOT NULL DEFAULT 0,
            claimed_until REAL NOT NULL DEFAULT 0,
            changed_at REAL NOT NULL,
            compared INTEGER NOT NULL DEFAULT 0 CHECK (compared IN (0, 1)),
            note TEXT NOT NULL DEFAULT '',
            UNIQUE (session_id, segment, meter),
            CHECK ((session_id IS NULL) = (segment IS NULL))
        ) STRICT
        """,
        """
        CREATE INDEX outbox_to_send ON outbox (customer_id, meter, timestamp)
            WHERE state = 'pending'
        """,
        """
        CREATE INDEX outbox_in_trouble ON outbox (state, timestamp)
            WHERE state IN ('ambiguous', 'dead', 'expired')
        """,
        "CREATE INDEX outbox_to_compare ON outbox (hour) WHERE compared = 0",
        "CREATE INDEX outbox_by_hour ON outbox (customer_id, meter, hour)",
        "CREATE INDEX outbox_unlinked ON outbox (account_id) WHERE customer_id IS NULL",
        """
        CREATE TABLE meter_hours (
            customer_id TEXT NOT NULL,
            meter TEXT NOT NULL,
            hour INTEGER NOT NULL,
            outcome TEXT NOT NULL CHECK (outcome IN ('equal', 'repaired', 'mismatch')),
            expected INTEGER NOT NULL,
            found INTEGER NOT NULL,
            compared_at REAL NOT NULL,
            PRIMARY KEY (customer_id, meter, hour)
        ) STRICT
        """,
        "CREATE INDEX meter_hours_mismatched ON meter_hours (hour) WHERE outcome = 'mismatch'",
        # The hour of the turns in the current segment, in hours since 1970; null if it has none.
        "ALTER TABLE sessions ADD COLUMN uncut_hour INTEGER",
        # The segments that the receipt covers: turns of later ones came too late for it.
        "ALTER TABLE sessions ADD COLUMN receipt_segments INTEGER",
        "CREATE INDEX sessions_uncut ON sessions (uncut_hour) WHERE uncut_hour IS NOT NULL",
        # What was used before there was an outbox is owed as well.
        "UPDATE sessions SET receipt_segments = segment WHERE state = 'closed'",
        """
        INSERT INTO outbox
            (id, account_id, session_id, segment, meter, units, cost_micro_usd, timestamp,
             changed_at)
        SELECT 'kx:' || session_id || ':' || usage_records.segment || ':' || meter,
            usage_records.account_id, session_id, usage_records.segment, meter,
            sum(billable_units), sum(cost_micro_usd), CAST(max(created_at) AS INTEGER),
            max(created_at)
        FROM usage_records JOIN sessions ON sessions.id = session_id
        WHERE usage_records.segment < sessions.segment
        GROUP BY session_id, usage_records.segment, meter
        HAVING sum(billable_units) > 0
        """,
        """
        UPDATE sessions SET uncut_hour = (
            SELECT CAST(max(created_at) / 3600 AS INTEGER) FROM usage_records
            WHERE session_id = sessions.id AND usage_records.segment = sessions.segment
        )
        """,
    ),
    (
        "ALTER TABLE accounts ADD COLUMN email TEXT",
        "ALTER TABLE accounts ADD COLUMN password_hash TEXT",
        "ALTER TABLE accounts ADD COLUMN deleted_at REAL",
        "ALTER TABLE accounts ADD COLUMN erased_at REAL",
        "CREATE UNIQUE INDEX accounts_by_email ON accounts (email) WHERE email IS NOT NULL",
        "CREATE INDEX accounts_to_erase ON accounts (deleted_at) WHERE erased_at IS NULL",
        "ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'generate manage read usage'",
        "ALTER TABLE api_keys ADD COLUMN expires_at REAL",
        "ALTER TABLE api_keys ADD COLUMN last_used_at REAL",
        "ALTER TABLE api_keys ADD COLUMN successor_id TEXT REFERENCES api_keys (id)",
    ),
    (
        "CREATE TABLE stripe_events (id TEXT PRIMARY KEY, received_at REAL NOT NULL) STRICT",
        """
        CREATE TABLE subscriptions (
            id TEXT PRIMARY KEY,
            customer_id TEXT NOT NULL,
            status TEXT NOT NULL,
            changed_at REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX subscriptions_of_customer ON subscriptions (customer_id)",
    ),
    (
        # What a cheaper model answers where a budget has ended, and its meters. SQLite changes no
        # checks: the tables are made anew.
        "ALTER TABLE budgets ADD COLUMN fallback_micro_usd INTEGER NOT NULL DEFAULT 0",
        """
        CREATE TABLE usage_records_anew (
            response_id TEXT NOT NULL REFERENCES turns (response_id),
            meter TEXT NOT NULL CHECK (meter IN (
                'tokens', 'images', 'detections',
                'fallback_tokens', 'fallback_images', 'fallback_detections'
            )),
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
        "INSERT INTO usage_records_anew SELECT * FROM usage_records",
        "DROP TABLE usage_records",
        "ALTER TABLE usage_records_anew RENAME TO usage_records",
        "CREATE INDEX usage_records_of_session ON usage_records (session_id, segment)",
        """
        CREATE TABLE outbox_anew (
            id TEXT PRIMARY KEY,
            account_id TEXT NOT NULL REFERENCES accounts (id),
            customer_id TEXT,
            session_id TEXT REFERENCES sessions (id),
            segment INTEGER,
            meter TEXT NOT NULL CHECK (meter IN (
                'tokens', 'images', 'detections',
                'fallback_tokens', 'fallback_images', 'fallback_detections'
            )),
            units INTEGER NOT NULL CHECK (units > 0),
            cost_micro_usd INTEGER NOT NULL CHECK (cost_micro_usd >= 0),
            timestamp INTEGER NOT NULL,
            hour INTEGER NOT NULL GENERATED ALWAYS AS (timestamp - timestamp % 3600) STORED,
            state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN (
                'pending', 'accepted', 'ambiguous', 'resolved', 'dead', 'expired', 'invoiced'
            )),
            attempts INTEGER NOT NULL DEFAULT 0,
            unanswered INTEGER NOT NULL DEFAULT 0,
            first_attempt_at REAL,
            next_attempt_at REAL NOT NULL DEFAULT 0,
            claimed_until REAL NOT NULL DEFAULT 0,
            changed_at REAL NOT NULL,
            compared INTEGER NOT NULL DEFAULT 0 CHECK (compared IN (0, 1)),
            note TEXT NOT NULL DEFAULT '',
            UNIQUE (session_id, segment, meter),
            CHECK ((session_id IS NULL) = (segment IS NULL))
        ) STRICT
        """,
        """
        INSERT INTO outbox_anew
            (id, account_id, customer_id, session_id, segment, meter, units, cost_micro_usd,
             timestamp, state, attempts, unanswered, first_attempt_at, next_attempt_at,
             claimed_until, changed_at, compared, note)
        SELECT id, account_id, customer_id, session_id, segment, meter, units, cost_micro_usd,
            timestamp, state, attempts, unanswered, first_attempt_at, next_attempt_at,
            claimed_until, changed_at, compared, note
        FROM outbox
        """,
        "DROP TABLE outbox",
        "ALTER TABLE outbox_anew RENAME TO outbox",
        """
        CREATE INDEX outbox_to_send ON outbox (customer_id, meter, timestamp)
            WHERE state = 'pending'
        """,
        """
        CREATE INDEX outbox_in_trouble ON outbox (state, timestamp)
            WHERE state IN ('ambiguous', 'dead', 'expired')
        """,
        "CREATE INDEX outbox_to_compare ON outbox (hour) WHERE compared = 0",
        "CREATE INDEX outbox_by_hour ON outbox (customer_id, meter, hour)",
        "CREATE INDEX outbox_unlinked ON outbox (account_id) WHERE customer_id IS NULL",
    ),
)
