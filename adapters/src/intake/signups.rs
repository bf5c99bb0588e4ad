//! A batch of signups: the wallet of each user is opened, with their id for its own, and as theirs.
//!
//! | the wallet of that id | then |
//! |---|---|
//! | was never opened | it is, with the initial balance |
//! | was opened by this message, whenever that was | nothing |
//! | is theirs, or nobody's | nothing: it counts as theirs, with what it holds |
//! | is somebody else's | a dead letter |

use std::sync::Arc;

use florin_application::command::{Intake, Outcome, Refused, RequestId};
use florin_application::{Command, Origin, Request};
use florin_domain::wallet::Open;
use florin_domain::{Owner, Refusal, TransactionId, WalletCommand, WalletId};
use futures::future::join_all;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::commands::{NoOutcome, outcome};
use super::contract::USER_SIGNUP;
use super::desk::Desk;
use super::letters::Draft;
use super::read::Asked;
use super::taken::{Fate, Taken, submitted};

/// What a signup comes to.
enum Came {
    /// The user has a wallet.
    Done,
    /// Not now.
    NotYet(String),
    /// Not ever, as far as anybody can see.
    Never(String),
}

impl Desk {
    /// Deals with signups; what becomes of each message, or nothing where Postgres is away.
    pub(super) async fn signups(&self, batch: &[Taken]) -> Option<Vec<Fate>> {
        let dealt = join_all(batch.iter().map(|taken| self.signup(taken))).await;
        let (fates, drafts): (Vec<Fate>, Vec<Option<Draft>>) = dealt.into_iter().unzip();
        let drafts: Vec<Draft> = drafts.into_iter().flatten().collect();
        if !drafts.is_empty() {
            self.saved(&[], &drafts).await?;
        }
        Some(fates)
    }

    async fn signup(&self, taken: &Taken) -> (Fate, Option<Draft>) {
        let aside = |kept: Map<String, Value>, why: String| {
            let draft = Draft::of_message(USER_SIGNUP, kept, &taken.place, why);
            (Fate::Aside, Some(draft.in_letter(taken.letter.as_deref())))
        };
        let user = match &taken.asked {
            Ok(Asked::Signup(user)) => user,
            // Of other subjects there are none here.
            Ok(Asked::Completed(..) | Asked::Failed { .. }) => return (Fate::Done, None),
            Err(malformed) => return aside(malformed.kept.clone(), malformed.why.clone()),
        };
        let kept = || [("id".to_owned(), user.as_str().into())].into_iter().collect();
        let retries = &self.patience().ledger;
        match self.open(user, taken.traceparent.as_ref()).await {
            Came::Done => (Fate::Done, None),
            Came::Never(why) => aside(kept(), why),
            Came::NotYet(why) if taken.deliveries >= retries.max_attempts => aside(kept(), why),
            Came::NotYet(why) => {
                tracing::debug!(user = %user, why, "a signup is dealt with later");
                (Fate::Later(retries.wait(taken.deliveries)), None)
            }
        }
    }

    async fn open(&self, user: &WalletId, trace: Option<&Arc<str>>) -> Came {
        let owner: Owner = match user.as_str().parse() {
            Ok(owner) => owner,
            Err(why) => return Came::Never(format!("id: {why}")),
        };
        let initial = self.initial().map(|amount| (TransactionId(Uuid::now_v7()), amount));
        let open =
            Open { currency: self.currency(), owner: Some(owner.clone()), metadata: None, initial };
        let command = WalletCommand::Open(open);
        let request = Request {
            command: Command::Wallet { id: user.clone(), id_is_new: false, command },
            request_id: Some(RequestId::of_intake(user.as_str(), Intake::Signup)),
            expected_version: None,
            expected_owner: None,
            origin: Origin::default(),
        };
        match outcome(submitted(self.ledger(), request, trace).await) {
            Ok(Outcome::Accepted(_)) => Came::Done,
            Ok(Outcome::Refused(Refused { refusal, .. })) => {
                match refusal == Refusal::WalletExists {
                    true => self.existing(user, &owner).await,
                    false => Came::Never(refusal.to_string()),
                }
            }
            // It was opened by this message when other settings held.
            Err(NoOutcome::KeyReused(_)) => Came::Done,
            Err(NoOutcome::NotYet(why)) => Came::NotYet(why),
        }
    }

    async fn existing(&self, user: &WalletId, owner: &Owner) -> Came {
        match self.ledger().wallet(user).await {
            Err(error) => Came::NotYet(error.to_string()),
            // It will be there in a moment: the ledger has just said so.
            Ok(None) => Came::NotYet("the wallet exists, and is not there".to_owned()),
            Ok(Some(wallet)) => match &wallet.account.owner {
                Some(other) if other != owner => {
                    Came::Never("the wallet of this id is somebody else's".to_owned())
                }
                Some(_) | None => Came::Done,
            },
        }
    }
}
