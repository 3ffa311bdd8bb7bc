//! Nodes that are nothing but a transport, and a proxy that can cut connections.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bowline::ids::Id128;
use bowline::metrics::Metrics;
use bowline::transport::{self, Config, Features, Handle, Identity, Inbound, Lane, Peer, Service};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

/// Far longer than anything here takes: only a hanging test meets it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What the nodes here can do.
pub const FEATURES: Features = Features(7);

pub fn tag(id: u64) -> Id128 {
    Id128([id as u8; 16])
}

pub fn identity(id: u64, boot_nonce: u64) -> Identity {
    Identity { cluster: Id128([0xcc; 16]), epoch: 0, node: id, tag: tag(id), boot_nonce }
}

pub fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

pub struct Node {
    pub identity: Identity,
    pub addr: SocketAddr,
    pub handle: Handle,
    pub metrics: Arc<Metrics>,
    pub raft: Receiver<Inbound>,
    pub gossip: Receiver<Inbound>,
    pub guests: Receiver<Inbound>,
    pub states: Receiver<Inbound>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    pub fn start(id: u64) -> Self {
        Self::start_as(identity(id, 1000 + id), listen())
    }

    pub fn start_as(identity: Identity, listener: TcpListener) -> Self {
        Self::start_with(identity, listener, unbounded())
    }

    pub fn start_with(
        identity: Identity,
        listener: TcpListener,
        (raft_inbox, raft): (Sender<Inbound>, Receiver<Inbound>),
    ) -> Self {
        let (gossip_inbox, gossip) = unbounded();
        let (guest_inbox, guests) = bounded(100);
        let metrics = Arc::new(Metrics::default());
        let addr = listener.local_addr().unwrap();
        let (state_inbox, states) = bounded(32);
        let config = Config { identity, features: FEATURES, guest_inbox, state_inbox };
        let (handle, thread) =
            transport::start(config, listener, raft_inbox, gossip_inbox, Arc::clone(&metrics))
                .unwrap();
        let thread = Some(thread);
        Self { identity, addr, handle, metrics, raft, gossip, guests, states, thread }
    }

    pub fn as_peer(&self) -> Peer {
        Peer { id: self.identity.node, tag: self.identity.tag, addr: self.addr.to_string() }
    }

    /// Sends until a connection takes it.
    pub fn send(&self, to: u64, lane: Lane, body: &[u8]) {
        let body = Bytes::copy_from_slice(body);
        eventually("a connection to send over", || {
            self.handle.send(to, lane, Service::Raft, body.clone())
        });
    }

    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.end();
        }
    }
}

/// Tells all of them about all of them.
pub fn introduce(nodes: &[&Node]) {
    let peers: Vec<Peer> = nodes.iter().map(|node| node.as_peer()).collect();
    for node in nodes {
        node.handle.set_peers(peers.clone(), 100);
    }
}

/// The first event that `wanted` likes, and those before it.
pub fn wait_for(
    inbox: &Receiver<Inbound>,
    wanted: impl Fn(&Inbound) -> bool,
) -> (Inbound, Vec<Inbound>) {
    let mut before = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    loop {
        match inbox.recv_deadline(deadline) {
            Ok(event) if wanted(&event) => return (event, before),
            Ok(event) => before.push(event),
            Err(error) => panic!("{error}; came before: {before:?}"),
        }
    }
}

/// Polls until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Passes connections on to `target` and can cut them.
pub struct Proxy {
    pub addr: SocketAddr,
    pub live: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub fn to(target: SocketAddr) -> Self {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        let live = Arc::new(AtomicUsize::new(0));
        let open = Arc::new(Mutex::new(Vec::new()));
        let proxy = Self { addr, live: Arc::clone(&live), open: Arc::clone(&open) };
        thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let Ok(far) = TcpStream::connect(target) else { continue };
                open.lock().unwrap().push(near.try_clone().unwrap());
                open.lock().unwrap().push(far.try_clone().unwrap());
                live.fetch_add(1, Ordering::SeqCst);
                let live = Arc::clone(&live);
                thread::spawn(move || {
                    pass(near, far);
                    live.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        proxy
    }

    /// Ends all connections that pass here.
    pub fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pass(near: TcpStream, far: TcpStream) {
    let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
    let backward = thread::spawn(move || pass_one_way(back.0, back.1));
    // Either way may end by a reset, which is as good an end as any.
    let _ = pass_one_way(near, far);
    let _ = backward.join().unwrap();
}

fn pass_one_way(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut chunk = [0; 16 << 10];
    loop {
        match from.read(&mut chunk) {
            Ok(count) if count > 0 => to.write_all(&chunk[..count])?,
            _ => return to.shutdown(Shutdown::Both),
        }
    }
}
