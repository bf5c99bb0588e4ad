//! A load balancer in a few lines: each new connection goes to the next of several services.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Runs until it is dropped.
pub struct RoundRobin {
    url: String,
    connections: Arc<Vec<AtomicUsize>>,
    _tasks: JoinSet<()>,
}

impl RoundRobin {
    /// In front of the services on these ports of this machine.
    pub async fn start(ports: Vec<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(ports.iter().map(|_| AtomicUsize::new(0)).collect());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, ports, Arc::clone(&connections)));
        Self { url, connections, _tasks: tasks }
    }

    /// Where clients go.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many connections each service has had.
    pub fn connections(&self) -> Vec<usize> {
        self.connections.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

async fn accept(listener: TcpListener, ports: Vec<u16>, connections: Arc<Vec<AtomicUsize>>) {
    let mut carrying = JoinSet::new();
    for turn in 0.. {
        let Ok((mut client, _)) = listener.accept().await else { return };
        let place = turn % ports.len();
        let address = SocketAddr::from(([127, 0, 0, 1], ports[place]));
        connections[place].fetch_add(1, Ordering::Relaxed);
        carrying.spawn(async move {
            // A service that is away hangs up on its client, as it would without us.
            let Ok(mut service) = TcpStream::connect(address).await else { return };
            let _ = (client.set_nodelay(true), service.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut service).await;
        });
        while carrying.try_join_next().is_some() {}
    }
}
