//! A rebuild: every model that is asked for is folded anew beside the live one, from one reading of the
//! journal, and then each is compared and switched to by itself.
//!
//! The next generation is filled up to where the live one is, and no further: so the two can be compared
//! at an equal position while both go on, and a model whose worker stands still keeps its position.
//! Whatever ends a rebuild, what is filled stays, and the next one goes on from there.

use std::sync::Arc;
use std::time::Duration;

use florin_application::Journal as _;
use florin_projections::checkpoint::position;
use florin_projections::generation::compare::{Comparison, compare};
use florin_projections::generation::fill::Filler;
use florin_projections::generation::fold::fold_until;
use florin_projections::generation::switch::Switch;
use florin_projections::generation::tables::{self, Found};
use florin_projections::generation::{Generation, GenerationError, LIVE, Turn, last_of, next_of};
use florin_projections::read_model::Projection;
use futures::future::try_join_all;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use super::Workshop;
use crate::postgres::scan::Range;

/// From how many events on the next generation is filled by pages once more, before it is led to the
/// live one event by event.
const NEAR: u64 = 10_000;

/// How long a live generation may take to come to where the next one is: a crash of Postgres takes the
/// last batches of both back, and not by as much.
const LIVE_WAIT: Duration = Duration::from_secs(30);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// How a rebuild goes about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// Begins anew, whatever there is of an interrupted one.
    pub is_clean: bool,
    /// Switches to a generation that differs, too.
    pub is_forced: bool,
    /// Compares and switches to nothing.
    pub only_compares: bool,
}

/// What a rebuild tells of itself while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// So many events are to be folded.
    Begins(u64),
    /// So many more are.
    Folded(u64),
    /// All are; indexes are made.
    Indexes,
    /// A model is compared with the live one.
    Compares,
    /// It becomes the live one.
    Switches,
}

/// What became of one model.
#[derive(Debug, Clone)]
pub struct Rebuilt {
    /// Its name.
    pub model: &'static str,
    /// Whether what was filled by an earlier rebuild was gone on with.
    pub resumed: bool,
    /// Where both generations were when they were compared.
    pub positions: Vec<(u32, u64)>,
    /// What was found; nothing when one goes back to the last generation.
    pub comparison: Option<Comparison>,
    /// Whether it is the live one now.
    pub switched: bool,
}

/// One model's next generation.
struct Next {
    model: Arc<dyn Projection>,
    generation: Generation,
    resumed: bool,
    turn: Turn,
}

impl Workshop {
    /// Rebuilds models. Stops at the first that differs, unless forced: those before it are switched to.
    ///
    /// # Errors
    /// [`GenerationError`]; what was live and not switched is as it was.
    pub async fn rebuild(
        &self,
        models: &[Arc<dyn Projection>],
        manner: Manner,
        told: &mut (dyn FnMut(Told) + Send),
    ) -> Result<Vec<Rebuilt>, GenerationError> {
        let mut tables = self.at_large().await?;
        let mut nexts = Vec::new();
        for model in models {
            nexts.push(self.begin(&mut tables, model, manner).await?);
        }
        self.fill_all(&nexts, told).await?;
        told(Told::Indexes);
        try_join_all(nexts.iter().map(|next| self.index(next))).await?;
        let mut done = Vec::new();
        for next in nexts {
            let rebuilt = self.settle(&next, manner, told).await?;
            if !rebuilt.switched && manner.only_compares {
                tables::drop(&mut tables, &next.generation).await?;
            }
            next.turn.end().await?;
            let goes_on = rebuilt.switched || manner.only_compares;
            done.push(rebuilt);
            if !goes_on {
                break;
            }
        }
        Ok(done)
    }

    /// Makes the generation live again that was before the last switch, after it has folded what
    /// happened since.
    ///
    /// # Errors
    /// [`GenerationError`]; what was live is live still.
    pub async fn go_back(
        &self,
        model: &Arc<dyn Projection>,
        told: &mut (dyn FnMut(Told) + Send),
    ) -> Result<Rebuilt, GenerationError> {
        let mut tables = self.at_large().await?;
        let turn = Turn::take(self.at_large().await?, &**model).await?;
        let generation = Generation { schema: last_of(&**model), models: vec![Arc::clone(model)] };
        match tables::find(&mut tables, &generation).await? {
            Found::Same => {}
            Found::Nothing => return Err(GenerationError::NoLast(model.name().to_owned())),
            Found::Other => return Err(GenerationError::OldShape(model.name().to_owned())),
            Found::Foreign => return Err(GenerationError::Foreign(generation.schema)),
        }
        let next = Next { model: Arc::clone(model), generation, resumed: true, turn };
        self.fill_all(std::slice::from_ref(&next), told).await?;
        told(Told::Switches);
        let positions = self.switch(&next).await?;
        next.turn.end().await?;
        let model = next.model.name();
        Ok(Rebuilt { model, resumed: true, positions, comparison: None, switched: true })
    }

    /// Finds what an interrupted rebuild left, or begins.
    async fn begin(
        &self,
        tables: &mut PgConnection,
        model: &Arc<dyn Projection>,
        manner: Manner,
    ) -> Result<Next, GenerationError> {
        let turn = Turn::take(self.at_large().await?, &**model).await?;
        let generation = Generation { schema: next_of(&**model), models: vec![Arc::clone(model)] };
        let resumed = !manner.is_clean && tables::find(tables, &generation).await? == Found::Same;
        if !resumed {
            tables::create(tables, &generation).await?;
        }
        Ok(Next { model: Arc::clone(model), generation, resumed, turn })
    }

    /// Several models side by side: each is one backend's work.
    async fn index(&self, next: &Next) -> Result<(), GenerationError> {
        tables::index(&mut self.at_large().await?, &next.generation).await
    }

    /// Fills all of them up to where the live ones are, until that is near.
    async fn fill_all(
        &self,
        nexts: &[Next],
        told: &mut (dyn FnMut(Told) + Send),
    ) -> Result<(), GenerationError> {
        let mut fillers = Vec::new();
        for next in nexts {
            fillers.push(self.filler(&next.model, &next.generation.schema).await?);
        }
        let mut is_first = true;
        loop {
            let ranges = self.missing(&mut fillers).await?;
            let missing: u64 = ranges.iter().map(Range::events).sum();
            if is_first {
                told(Told::Begins(missing));
            }
            if missing == 0 || (!is_first && missing <= NEAR) {
                return Ok(());
            }
            is_first = false;
            for range in ranges {
                let mut each = |events| told(Told::Folded(events));
                fillers = self.fill(fillers, range, &mut each).await?;
            }
        }
    }

    /// What these have not got yet of what all live generations have.
    async fn missing(&self, fillers: &mut [Filler]) -> Result<Vec<Range>, GenerationError> {
        let mut ranges = Vec::new();
        for partition in 0..self.journal.partitions() {
            let (mut after, mut up_to) = (u64::MAX, u64::MAX);
            for filler in &mut *fillers {
                after = after.min(filler.position(partition).await?);
                let live = position(self.journal.pool(), filler.model.name(), partition).await?;
                up_to = up_to.min(live);
            }
            ranges.push(Range { partition, after: after.min(up_to), up_to });
        }
        Ok(ranges)
    }

    /// Compares, and switches if that is right.
    async fn settle(
        &self,
        next: &Next,
        manner: Manner,
        told: &mut (dyn FnMut(Told) + Send),
    ) -> Result<Rebuilt, GenerationError> {
        told(Told::Compares);
        let (positions, comparison) = self.compared(next).await?;
        let is_right = comparison.is_equal() || manner.is_forced;
        let mut rebuilt = Rebuilt {
            model: next.model.name(),
            resumed: next.resumed,
            positions,
            comparison: Some(comparison),
            switched: false,
        };
        if is_right && !manner.only_compares {
            told(Told::Switches);
            rebuilt.positions = self.switch(next).await?;
            rebuilt.switched = true;
        }
        Ok(rebuilt)
    }

    /// Takes a view of the live generation, leads the next one there, and compares the two.
    async fn compared(
        &self,
        next: &Next,
    ) -> Result<(Vec<(u32, u64)>, Comparison), GenerationError> {
        let Filler { mut connection, journal, .. } =
            self.filler(&next.model, &next.generation.schema).await?;
        let (name, model) = (next.model.name(), &*next.model);
        let deadline = Instant::now() + LIVE_WAIT;
        let mut live = self.at_large().await?;
        loop {
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            let mut view = live.begin_with(begin).await?;
            let (mut positions, mut is_there) = (Vec::new(), true);
            for partition in 0..self.journal.partitions() {
                let wanted = position(&mut *view, name, partition).await?;
                fold_until(&mut connection, model, &*journal, partition, wanted).await?;
                is_there &= position(&mut connection, name, partition).await? == wanted;
                positions.push((partition, wanted));
            }
            if is_there {
                let mut other = self.at_large().await?;
                let schema = &next.generation.schema;
                let comparison = compare(model, &mut view, &mut other, schema).await?;
                view.rollback().await?;
                return Ok((positions, comparison));
            }
            view.rollback().await?;
            if Instant::now() > deadline {
                let why =
                    format!("the live `{name}` of {LIVE} does not come to where the next one is");
                return Err(GenerationError::Unfinished(why));
            }
            sleep(LOOK).await;
        }
    }

    async fn switch(&self, next: &Next) -> Result<Vec<(u32, u64)>, GenerationError> {
        let Filler { model, connection, journal } =
            self.filler(&next.model, &next.generation.schema).await?;
        let schema = next.generation.schema.clone();
        Switch { connection, model, journal, schema }.make().await
    }
}
