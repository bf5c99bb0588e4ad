//! Every read model as it was at a moment, in a schema of its own: to be queried with SQL, and to be
//! served read-only.
//!
//! The schema is made by whoever asks, and is theirs: it stands as it is until they drop it. One that was
//! interrupted is begun anew.

use florin_projections::generation::tables::{self, Found};
use florin_projections::generation::{Generation, GenerationError};
use florin_projections::models;

use super::Workshop;
use super::rebuild::Told;
use crate::postgres::scan::Range;

impl Workshop {
    /// Fills a schema with every model up to these positions, one of each partition.
    ///
    /// # Errors
    /// [`GenerationError::Foreign`] where the schema is there and `is_clean` is not said, or it is not
    /// this program's; else Postgres is away.
    pub async fn as_of(
        &self,
        schema: &str,
        positions: &[(u32, u64)],
        is_clean: bool,
        told: &mut (dyn FnMut(Told) + Send),
    ) -> Result<(), GenerationError> {
        let generation = Generation { schema: schema.to_owned(), models: models::all() };
        let mut tables = self.at_large().await?;
        match tables::find(&mut tables, &generation).await? {
            Found::Nothing => {}
            Found::Same | Found::Other if is_clean => {}
            Found::Same | Found::Other | Found::Foreign => {
                return Err(GenerationError::Foreign(schema.to_owned()));
            }
        }
        tables::create(&mut tables, &generation).await?;
        told(Told::Begins(positions.iter().map(|(_, position)| position).sum()));
        let mut fillers = Vec::new();
        for model in &generation.models {
            fillers.push(self.filler(model, schema).await?);
        }
        for (partition, up_to) in positions.iter().copied() {
            let range = Range { partition, after: 0, up_to };
            let mut each = |events| told(Told::Folded(events));
            fillers = self.fill(fillers, range, &mut each).await?;
        }
        told(Told::Indexes);
        tables::index(&mut tables, &generation).await?;
        tables::publish(&mut tables, &generation).await
    }
}
