//! `wagres tenant list | add | pause | resume | grant | revoke`.

use super::listing::{Cell, Listing};
use super::{connect, print};
use crate::config::Config;
use crate::db::Db;
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum TenantCommand {
    /// Show all tenants, their sessions, and the database roles that see each
    List,
    /// Add a tenant; does nothing if it exists
    Add {
        /// Name of the tenant: 1 to 63 letters, digits, dots, underscores, hyphens
        tenant: String,
    },
    /// Pause the sending of all sessions of a tenant
    Pause {
        /// Name of the tenant
        tenant: String,
        /// Reason, kept in the tenant's row
        #[arg(long)]
        reason: Option<String>,
    },
    /// Resume the sending of all sessions of a tenant
    Resume {
        /// Name of the tenant
        tenant: String,
    },
    /// Let a database role, and its members, see a tenant
    Grant(Member),
    /// Reverse grant; after its last tenant the role sees nothing
    Revoke(Member),
}

#[derive(Debug, Args)]
pub(super) struct Member {
    /// Name of the tenant
    tenant: String,
    /// Name of the database role
    role: String,
}

pub(super) async fn run(config: &Config, command: TenantCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        TenantCommand::List => list(&pool).await?.show(json),
        TenantCommand::Add { tenant } => {
            sqlx::query!("SELECT wa.add_tenant($1)", tenant).fetch_one(&pool).await?;
            print(json, &json!({ "tenant": tenant }), &format!("tenant {tenant} exists"));
        }
        TenantCommand::Pause { tenant, reason } => {
            sqlx::query!("SELECT wa.pause_tenant($1, $2)::text", tenant, reason).fetch_one(&pool).await?;
            let text = format!("the sessions of tenant {tenant} send nothing until resumed");
            print(json, &json!({ "tenant": tenant, "paused": true }), &text);
        }
        TenantCommand::Resume { tenant } => {
            sqlx::query!("SELECT wa.resume_tenant($1)::text", tenant).fetch_one(&pool).await?;
            let text = format!("the sessions of tenant {tenant} send again");
            print(json, &json!({ "tenant": tenant, "paused": false }), &text);
        }
        TenantCommand::Grant(Member { tenant, role }) => {
            sqlx::query!("SELECT wa.grant_tenant(($1::text)::name, $2)::text", role, tenant).fetch_one(&pool).await?;
            let text = format!("role {role} sees tenant {tenant}");
            print(json, &json!({ "tenant": tenant, "role": role, "sees": true }), &text);
        }
        TenantCommand::Revoke(Member { tenant, role }) => {
            sqlx::query!("SELECT wa.revoke_tenant(($1::text)::name, $2)::text", role, tenant).fetch_one(&pool).await?;
            let text = format!("role {role} does not see tenant {tenant}");
            print(json, &json!({ "tenant": tenant, "role": role, "sees": false }), &text);
        }
    }
    Ok(())
}

async fn list(pool: &Db) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(
        &["TENANT", "SENDING", "SESSIONS", "ROLES", "SINCE"],
        "you see no tenant; wagres tenant grant TENANT ROLE lets a role see one",
    );
    for row in sqlx::query_file!("sql/cli/list_tenants.sql").fetch_all(pool).await? {
        let sending = match (row.paused_at, &row.paused_reason) {
            (None, _) => "active".to_owned(),
            (Some(_), None) => "paused".to_owned(),
            (Some(_), Some(reason)) => format!("paused: {reason}"),
        };
        let value = json!({
            "tenant": row.tenant, "sessions": row.sessions, "roles": row.roles, "paused_at": row.paused_at,
            "paused_reason": row.paused_reason, "paused_by": row.paused_by, "created_at": row.created_at,
        });
        let cells = [
            Cell::text(row.tenant),
            Cell::status(sending),
            Cell::number(row.sessions),
            Cell::text(row.roles.join(", ")),
            Cell::when(Some(row.created_at)),
        ];
        listing.add(&["tenant"], value, cells);
    }
    Ok(listing)
}
