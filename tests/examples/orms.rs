//! Recipes for object-relational mappers: an order and its message in one transaction, as an application's login.

use super::{example, finished, login, needs, with_packages};
use crate::support::logins::run;
use crate::support::pypi;
use crate::support::world::World;
use anyhow::{Result, ensure};
use tokio::process::Command;

/// Runs the recipe, which inserts an order, its message, and a text by function.
async fn orders(command: &mut Command) -> Result<()> {
    let world = World::new().await?;
    let login = login(&world).await?;
    run(
        world.pool(),
        &format!(
            "SELECT wa.add_session('shop'); CREATE TABLE purchase (id serial PRIMARY KEY, phone text NOT NULL);
             GRANT ALL ON purchase, purchase_id_seq TO {}",
            login.name
        ),
    )
    .await?;
    let printed = finished(command.env("DATABASE_URL", &login.url)).await?;
    ensure!(printed.contains("Order 1 is on its way") && printed.contains("Thank you"), "{printed}");
    let queued: Vec<String> =
        sqlx::query_scalar("SELECT o.body FROM wa.outbound o JOIN wa.outbound_queue USING (id) ORDER BY id")
            .fetch_all(world.pool())
            .await?;
    ensure!(queued == ["Order 1 is on its way", "Thank you"], "{queued:?}");
    Ok(())
}

#[tokio::test]
async fn h9_sqlalchemy_sends_in_the_transaction_of_an_order() -> Result<()> {
    orders(Command::new(pypi::install().await?).arg(example("orm/sqlalchemy_orders.py"))).await
}

#[tokio::test]
async fn h9_drizzle_sends_in_the_transaction_of_an_order() -> Result<()> {
    let (_folder, program) = with_packages("orm/drizzle_orders.mjs").await?;
    orders(Command::new("node").arg(program)).await
}

#[tokio::test]
async fn h9_eloquent_sends_in_the_transaction_of_an_order() -> Result<()> {
    let loads =
        "require '/usr/share/php/Illuminate/Database/autoload.php'; exit((int) !extension_loaded('pdo_pgsql'));";
    needs("Eloquent (php-cli, php-pgsql, php-illuminate-database)", Command::new("php").args(["-r", loads])).await?;
    orders(Command::new("php").arg(example("orm/eloquent_orders.php"))).await
}
