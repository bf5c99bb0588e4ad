//! Columns of the read models as the words of the domain.

use florin_domain::Currency;
use rust_decimal::Decimal;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// The column `currency`.
pub(crate) fn currency(row: &PgRow) -> Result<Currency, sqlx::Error> {
    let code: &str = row.try_get("currency")?;
    code.parse().map_err(|error| sqlx::Error::ColumnDecode {
        index: "currency".to_owned(),
        source: Box::new(error),
    })
}

/// A column with money, in the scale of its currency: on the way through Postgres' binary form a
/// zero loses its decimals.
pub(crate) fn money(row: &PgRow, column: &str, currency: Currency) -> Result<Decimal, sqlx::Error> {
    let mut value: Decimal = row.try_get(column)?;
    value.rescale(currency.decimals());
    Ok(value)
}

/// A column that holds what this version cannot read.
pub(crate) fn unreadable(
    column: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}
