//! Tables in which programs keep a Baileys auth state: one for credentials and one for keys, or one for both.

#![expect(clippy::disallowed_types, reason = "the user names the tables and columns, and Postgres quotes the names")]

use super::{BaileysState, Entry, folder};
use crate::auth::codec;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::BTreeMap;

/// The roles of columns that can be named: [`Tables::columns`].
pub const ROLES: [&str; 6] = ["creds", "name", "kind", "id", "value", "expiry"];

const CREDS: &[&str] = &["creds", "credentials", "auth_state", "auth", "data", "value"];
const KIND: &[&str] = &["type", "key_type", "kind", "category"];
const ID: &[&str] = &["key_id", "keyid", "key_name", "id", "name", "key"];
const NAME: &[&str] = &["key", "name", "key_name", "key_id", "id", "data_key"];
const VALUE: &[&str] = &["value", "key_value", "data", "key_data", "val"];
const EXPIRY: &[&str] = &["expires_at", "expiry", "expire_at", "expires"];

/// Why tables could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The table does not exist, or may not be read.
    #[error("{option}: there is no table {table:?}")]
    NoTable {
        /// The option that names the table.
        option: &'static str,
        /// The value of that option.
        table: String,
    },
    /// No column has one of the usual names.
    #[error("{option}: {table:?} has no column for the {what}; looked for {looked_for}; there are {there}")]
    NoColumn {
        /// The option that names the table.
        option: &'static str,
        /// The value of that option.
        table: String,
        /// The content of the column.
        what: &'static str,
        /// The usual names.
        looked_for: String,
        /// The columns of the table.
        there: String,
    },
    /// The credentials are not those of one device.
    #[error("--owner: {0} rows of credentials; accepted is column=value of one device")]
    NotOne(usize),
    /// The database refused or could not be reached.
    #[error("reading the tables: {0}")]
    Sql(#[from] sqlx::Error),
}

/// Which rows of which tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Table of the credentials, or of everything.
    pub auth: String,
    /// Table of the keys, if separate.
    pub keys: Option<String>,
    /// Column and value that select the device, in both tables.
    pub owner: Option<(String, String)>,
    /// Columns with other than the usual names, by their role of [`ROLES`].
    pub columns: BTreeMap<String, String>,
}

/// A table as the server names it, and its columns.
struct Table<'a> {
    option: &'static str,
    named: String,
    quoted: String,
    /// Columns by name.
    columns: BTreeMap<String, Column>,
    /// See [`Tables::columns`].
    others: &'a BTreeMap<String, String>,
}

struct Column {
    quoted: String,
    /// D is a time, N a number (`pg_type.typcategory`).
    category: String,
    is_bytes: bool,
}

impl Column {
    /// An SQL expression of the column as JSON; bytes are taken as text.
    fn json(&self) -> String {
        if self.is_bytes {
            format!("to_jsonb(convert_from({}, 'UTF8'))", self.quoted)
        } else {
            format!("to_jsonb({})", self.quoted)
        }
    }

    /// An SQL condition that the row has not expired: a time, or seconds or milliseconds since 1970.
    fn is_unexpired(&self) -> String {
        let it = &self.quoted;
        match self.category.as_str() {
            "D" => format!("{it} IS NULL OR {it} > now()"),
            "N" => format!(
                "coalesce({it}, 0) = 0 OR to_timestamp(CASE WHEN {it} > 100000000000 THEN {it} / 1000.0 ELSE {it} END) > now()"
            ),
            _ => "true".to_owned(),
        }
    }
}

impl<'a> Table<'a> {
    async fn find(
        connection: &mut PgConnection,
        option: &'static str,
        named: &str,
        others: &'a BTreeMap<String, String>,
    ) -> Result<Self, TablesError> {
        let quoted: Option<String> =
            sqlx::query_scalar("SELECT to_regclass($1)::text").bind(named).fetch_one(&mut *connection).await?;
        let quoted = quoted.ok_or_else(|| TablesError::NoTable { option, table: named.into() })?;
        let columns: Vec<(String, String, String, bool)> = sqlx::query_as(
            "SELECT attname::text, quote_ident(attname), typcategory::text, atttypid = 'bytea'::regtype FROM pg_attribute \
             JOIN pg_type ON pg_type.oid = atttypid WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
        )
        .bind(named)
        .fetch_all(&mut *connection)
        .await?;
        let column = |(name, quoted, category, is_bytes)| (name, Column { quoted, category, is_bytes });
        Ok(Self { option, named: named.into(), quoted, columns: columns.into_iter().map(column).collect(), others })
    }

    /// The column for `role`: the one named in [`Tables::columns`], or one with a usual name.
    fn column(&self, role: &str, what: &'static str, names: &[&str]) -> Result<&Column, TablesError> {
        let given = self.others.get(role).map(String::as_str);
        let names = given.as_ref().map_or(names, std::slice::from_ref);
        let found = names.iter().find_map(|name| self.columns.get(*name));
        found.ok_or_else(|| TablesError::NoColumn {
            option: self.option,
            table: self.named.clone(),
            what,
            looked_for: names.join(", "),
            there: self.columns.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// Reads these columns of the device's rows. The server has quoted the names; values are bound.
    async fn rows(
        &self,
        connection: &mut PgConnection,
        columns: [String; 3],
        owner: Option<&(String, String)>,
    ) -> Result<Vec<(Option<String>, Option<String>, Option<Value>)>, TablesError> {
        let [kind, id, value] = columns;
        // Not every table has an expiry.
        let expiry = match self.others.get("expiry") {
            Some(name) => self.columns.get(name),
            None => EXPIRY.iter().find_map(|name| self.columns.get(*name)),
        };
        let current = expiry.map_or("true".to_owned(), Column::is_unexpired);
        let theirs = match owner {
            Some((column, _)) => format!("{}::text = $1", self.column("", "device", &[column])?.quoted),
            None => "true".to_owned(),
        };
        let table = &self.quoted;
        let sql = format!("SELECT {kind}::text, {id}::text, {value} FROM {table} WHERE ({current}) AND {theirs}");
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        if let Some((_, value)) = owner {
            query = query.bind(value);
        }
        Ok(query.fetch_all(connection).await?)
    }
}

/// Reads an auth state. Calls `progress` after each key.
///
/// # Errors
/// See [`TablesError`]; errors name tables and columns, never values.
pub async fn read(
    connection: &mut PgConnection,
    tables: &Tables,
    mut progress: impl FnMut(),
) -> Result<BaileysState, TablesError> {
    let owner = tables.owner.as_ref();
    let auth = Table::find(connection, "--auth-table", &tables.auth, &tables.columns).await?;
    let none = || "NULL".to_owned();
    let mut found = BaileysState::default();
    let Some(keys) = &tables.keys else {
        let name = auth.column("name", "name of the key", NAME)?;
        let columns = [none(), name.quoted.clone(), auth.column("value", "value", VALUE)?.json()];
        let mut creds = vec![];
        for (_, name, value) in auth.rows(connection, columns, owner).await? {
            let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default());
            let stem = name.strip_suffix(".json").unwrap_or(&name);
            match folder::key(stem) {
                _ if stem == "creds" => creds.push(value),
                Some((kind, id)) => found.entries.push(Entry { kind: kind.into(), id, value: codec::open(value) }),
                None => found.foreign.push(name),
            }
            progress();
        }
        found.creds = one(creds)?;
        return Ok(found);
    };
    let columns = [none(), none(), auth.column("creds", "credentials", CREDS)?.json()];
    found.creds =
        one(auth.rows(connection, columns, owner).await?.into_iter().filter_map(|(_, _, value)| value).collect())?;
    let keys = Table::find(connection, "--keys-table", keys, &tables.columns).await?;
    let (kind, id) = (keys.column("kind", "kind of the key", KIND)?, keys.column("id", "id of the key", ID)?);
    let columns = [kind.quoted.clone(), id.quoted.clone(), keys.column("value", "value", VALUE)?.json()];
    for (kind, id, value) in keys.rows(connection, columns, owner).await? {
        let (kind, id) = (kind.unwrap_or_default(), id.unwrap_or_default());
        found.entries.push(Entry { kind, id, value: codec::open(value.unwrap_or_default()) });
        progress();
    }
    Ok(found)
}

fn one(mut creds: Vec<Value>) -> Result<Option<Value>, TablesError> {
    match creds.len() {
        0 | 1 => Ok(creds.pop()),
        several => Err(TablesError::NotOne(several)),
    }
}
