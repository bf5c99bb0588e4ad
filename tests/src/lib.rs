//! The harness of the end-to-end tests.
//!
//! | module | gives |
//! |---|---|
//! | [`cluster`] | a database of its own in one private Postgres |
//! | [`store`] | a fresh journal, in memory or in a real Postgres, and a ledger on it |
//! | [`ask`] | words for the requests that tests send to a ledger |
//! | [`contract`] | the OpenAPI document, against which every answer is held |
//! | [`service`] | the service in this process, behind HTTP |
//! | [`issuer`] | whoever issues tokens: keys of every kind, and where they are published |
//! | [`event_stream`] | a client of server-sent events |
//! | [`messages`] | the AsyncAPI document, against which messages are held |
//! | [`nats`] | a NATS for one test alone, what is published there, and workers on it |
//! | [`upstream`] | other services: what they ask for, and what they are told |
//! | [`own_postgres`] | a Postgres for one test alone, to be killed |
//! | [`batches`] | batches for a journal without a ledger |
//! | [`projecting`] | read models at work in this process |
//! | [`feed`] | the sources they work from, good and bad |
//! | [`flawed`] | a read model with a defect that can be mended |
//! | [`fresh_fold`] | the proof that read models equal a fresh fold of the journal |
//! | [`turmoil`] | a random history |
//! | [`watch`] | a ledger under the eyes of the fraud rules |
//! | [`collector`] | a collector of traces, which keeps every span |
//! | [`process`] | the program `florin` in processes of its own |
//! | [`guest`] | a program that is no part of Florin, in a process of its own |
//! | [`round_robin`] | a load balancer in front of several of them |
//! | [`monkeys`] | load through HTTP while something happens to the service |
//! | [`pipeline`] | the whole service in processes of its own, each of which may be killed |
//! | [`lag`] | how far what follows the journal is behind it |
//! | [`length`] | how long a test takes |

pub mod ask;
pub mod batches;
pub mod cluster;
pub mod collector;
pub mod contract;
pub mod event_stream;
pub mod feed;
pub mod flawed;
pub mod fresh_fold;
pub mod guest;
pub mod issuer;
pub mod lag;
pub mod length;
pub mod messages;
pub mod monkeys;
pub mod nats;
pub mod own_postgres;
pub mod pipeline;
pub mod process;
pub mod projecting;
pub mod round_robin;
pub mod scrape;
pub mod service;
pub mod store;
pub mod turmoil;
pub mod upstream;
pub mod watch;

/// Makes a test of each function, on each journal, with one partition and with four.
///
/// The function takes a [`store::Store`]; after it returns, the whole journal is audited.
#[macro_export]
macro_rules! on_every_journal {
    ($($name:ident),+ $(,)?) => {
        $crate::on_every_journal!(@ memory_with_1_partition, memory, 1, $($name),+);
        $crate::on_every_journal!(@ memory_with_4_partitions, memory, 4, $($name),+);
        $crate::on_every_journal!(@ postgres_with_1_partition, postgres, 1, $($name),+);
        $crate::on_every_journal!(@ postgres_with_4_partitions, postgres, 4, $($name),+);
    };
    (@ $module:ident, $kind:ident, $partitions:literal, $($name:ident),+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $name() {
                    let store = $crate::store::Store::$kind($partitions).await;
                    super::$name(&store).await;
                    store.audit().await;
                }
            )+
        }
    };
}
