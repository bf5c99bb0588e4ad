//! What is told when a checkpoint moves, so that processes that keep rows in memory know which of
//! them are old, and readers that wait for a position know when it is there.
//!
//! `<projection>:<partition>:<position>:<changed>` on [`CHANNEL`], in the transaction of the rows: it
//! arrives after the rows are visible, and in the order of the commits. `<changed>` is empty for a
//! model of which nobody keeps rows, `*` for every wallet, and else the tags of wallets, eight
//! hexadecimal digits each. A tag stands for its wallet and, rarely, for another one too, whose row is
//! then read again for nothing.

use std::fmt;
use std::str::FromStr;

use florin_domain::hash_of;
use florin_domain::journal::RecordedEvent;
use thiserror::Error;

use crate::fact::is_of_wallet;

/// The channel on which announcements are made.
pub const CHANNEL: &str = "florin_projections";

/// How many wallets one announcement names at most: Postgres carries 7,999 bytes. A batch that
/// changed more of them is a backlog, after which little in memory is worth keeping.
pub const MAX_TAGS: usize = 900;

/// A wallet's short name in an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(u32);

impl Tag {
    /// Of a wallet: its hash, folded.
    pub fn of(wallet: &str) -> Self {
        let hash = hash_of(wallet);
        let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
        Self(u32::from_be_bytes([a ^ e, b ^ f, c ^ g, d ^ h]))
    }
}

/// Which rows are not what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Those of these wallets.
    Wallets(Vec<Tag>),
    /// Perhaps any.
    All,
}

impl Changed {
    /// None, or nobody wants to know.
    pub const NONE: Self = Self::Wallets(Vec::new());

    /// Those of the wallets in whose streams these events lie.
    pub fn by(events: &[RecordedEvent]) -> Self {
        let wallets = events.iter().filter(|event| is_of_wallet(event));
        let mut tags: Vec<Tag> = wallets.map(|event| Tag::of(&event.aggregate_id)).collect();
        tags.sort_unstable();
        tags.dedup();
        match tags.len() {
            0..=MAX_TAGS => Self::Wallets(tags),
            _ => Self::All,
        }
    }
}

/// A checkpoint that moved, or rows that were folded anew where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Of which projection.
    pub projection: String,
    /// In which partition.
    pub partition: u32,
    /// Where the checkpoint is.
    pub position: u64,
    /// What changed.
    pub changed: Changed,
}

/// A text that is no [`Announcement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not <projection>:<partition>:<position>:<changed>")]
pub struct NoAnnouncement;

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:", self.projection, self.partition, self.position)?;
        match &self.changed {
            Changed::All => f.write_str("*"),
            Changed::Wallets(tags) => tags.iter().try_for_each(|Tag(tag)| write!(f, "{tag:08x}")),
        }
    }
}

impl FromStr for Announcement {
    type Err = NoAnnouncement;

    fn from_str(text: &str) -> Result<Self, NoAnnouncement> {
        let mut parts = text.splitn(4, ':');
        let mut next = || parts.next().ok_or(NoAnnouncement);
        Ok(Self {
            projection: next()?.to_owned(),
            partition: next()?.parse().map_err(|_| NoAnnouncement)?,
            position: next()?.parse().map_err(|_| NoAnnouncement)?,
            changed: changed(next()?)?,
        })
    }
}

fn changed(text: &str) -> Result<Changed, NoAnnouncement> {
    if text == "*" {
        return Ok(Changed::All);
    }
    let tag = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 8)?;
        u32::from_str_radix(digits, 16).ok().map(Tag)
    };
    let tags: Option<Vec<Tag>> = text.as_bytes().chunks(8).map(tag).collect();
    tags.map(Changed::Wallets).ok_or(NoAnnouncement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(changed: Changed) -> Announcement {
        Announcement { projection: "balance".to_owned(), partition: 3, position: 120, changed }
    }

    #[test]
    fn an_announcement_is_read_as_it_is_written() {
        let tags = [Tag::of("alice"), Tag::of("bob")];
        for changed in [Changed::NONE, Changed::All, Changed::Wallets(tags.to_vec())] {
            let told = announcement(changed);
            assert_eq!(told.to_string().parse(), Ok(told));
        }
        assert_eq!(announcement(Changed::All).to_string(), "balance:3:120:*");
    }

    #[test]
    fn what_is_no_announcement_is_not_read() {
        for text in ["", "balance:3", "balance:3:120", "balance:x:120:", "balance:3:120:0123"] {
            assert_eq!(text.parse::<Announcement>(), Err(NoAnnouncement), "{text:?}");
        }
    }

    #[test]
    fn the_largest_announcement_fits() {
        let tags = (0..MAX_TAGS).map(|n| Tag::of(&n.to_string())).collect();
        let told = Announcement {
            partition: u32::MAX,
            position: u64::MAX,
            ..announcement(Changed::Wallets(tags))
        };
        assert!(told.to_string().len() < 8_000);
    }
}
