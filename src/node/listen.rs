//! Where a node listens, and what it tells others to dial.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};

use socket2::SockRef;

use crate::config::{HTTP_PORT, NodeConfig, PEER_PORT};

/// Attempts to find a port number that is free for TCP and UDP alike.
const PAIR_ATTEMPTS: usize = 32;
/// Connections that may wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`). The
/// standard library's 128 overflow when some hundred clients come at once, and whoever is turned away
/// so tries again only a second later.
const BACKLOG: i32 = 4096;

/// The sockets of a node, bound before anything else happens, and the addresses to advertise.
pub struct Listeners {
    /// For clients.
    pub http: TcpListener,
    /// For peers.
    pub peer: TcpListener,
    /// For gossip, on the peer port's number.
    pub gossip: UdpSocket,
    /// What peers dial.
    pub advertise: String,
    /// Base URL of the HTTP surface.
    pub advertise_http: String,
    /// Why this host was chosen, when nobody said which.
    pub chosen: Option<String>,
}

/// Binds everything.
///
/// # Errors
/// A sentence that says which address, what is wrong with it and what to do.
pub fn bind(config: &NodeConfig) -> Result<Listeners, String> {
    let (host, chosen) = host(config)?;
    let http_addr = config.http.clone().unwrap_or_else(|| with_port(&host, HTTP_PORT));
    let peer_addr = config.peer.clone().unwrap_or_else(|| with_port(&host, PEER_PORT));
    let (peer, gossip) = bind_pair(&peer_addr)?;
    let http = bind_tcp(&http_addr).map_err(|error| refusal("--http", &http_addr, &error))?;
    let peer_bound = local(&peer)?;
    let http_bound = local(&http)?;
    let advertise = advertised(config.advertise.as_deref(), peer_bound, "--advertise")?;
    let advertise_http = match &config.advertise_http {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", http_host(&advertise, http_bound)),
    };
    Ok(Listeners { http, peer, gossip, advertise, advertise_http, chosen })
}

/// Where a member listened before it was restarted: without flags it does so again, since that is
/// where the others look for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    http: String,
    peer: String,
    advertise: String,
    advertise_http: String,
}

impl Addresses {
    /// Those of sockets that are bound.
    ///
    /// # Errors
    /// When the system does not tell where they are.
    pub fn of(listeners: &Listeners) -> Result<Self, String> {
        Ok(Self {
            http: local(&listeners.http)?.to_string(),
            peer: local(&listeners.peer)?.to_string(),
            advertise: listeners.advertise.clone(),
            advertise_http: listeners.advertise_http.clone(),
        })
    }

    /// The text for the data directory, one address a line.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { http, peer, advertise, advertise_http } = self;
        format!(
            "http {http}\npeer {peer}\nadvertise {advertise}\nadvertise-http {advertise_http}\n"
        )
    }

    /// Reads such a text; none when it is not whole.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let line = |name| {
            let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
            text.lines().find_map(value)
        };
        Some(Self {
            http: line("http")?,
            peer: line("peer")?,
            advertise: line("advertise")?,
            advertise_http: line("advertise-http")?,
        })
    }

    /// The settings with these addresses where no flag says otherwise.
    #[must_use]
    pub fn complete(self, config: &NodeConfig) -> NodeConfig {
        let mut config = config.clone();
        if config.bind.is_some() {
            return config;
        }
        if config.peer.is_none() {
            config.peer = Some(self.peer);
            config.advertise.get_or_insert(self.advertise);
        }
        if config.http.is_none() {
            config.http = Some(self.http);
            config.advertise_http.get_or_insert(self.advertise_http);
        }
        config
    }
}

fn local(listener: &TcpListener) -> Result<SocketAddr, String> {
    listener.local_addr().map_err(|error| format!("a bound socket has no address: {error}"))
}

/// The host to listen on.
fn host(config: &NodeConfig) -> Result<(String, Option<String>), String> {
    if let Some(bind) = &config.bind {
        return Ok((bind.clone(), None));
    }
    if config.join.is_empty() || (config.http.is_some() && config.peer.is_some()) {
        return Ok((Ipv4Addr::LOCALHOST.to_string(), None));
    }
    let (source, target) = source_towards_any(&config.join)?;
    let why = format!("listening on {source}, the source address of the route to {target}");
    Ok((source.to_string(), Some(why)))
}

/// The address this machine would talk to the first of `targets` from to which it has a route.
fn source_towards_any(targets: &[String]) -> Result<(IpAddr, &String), String> {
    let mut troubles = Vec::new();
    for target in targets {
        match source_towards(target) {
            Ok(source) => return Ok((source, target)),
            Err(error) => troubles.push(format!("no route to the join target {target}: {error}")),
        }
    }
    Err(format!("{}; give --bind HOST", troubles.join("; ")))
}

/// The address this machine would talk to `target` from. Sends nothing.
fn source_towards(target: &str) -> io::Result<IpAddr> {
    let target = target
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other("the name has no address"))?;
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

/// Listens; asking again on a socket that listens already changes its backlog alone (listen(2)).
fn bind_tcp(addr: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    SockRef::from(&listener).listen(BACKLOG)?;
    Ok(listener)
}

/// Binds TCP, then UDP on the same number; when any number will do, again until both are free.
fn bind_pair(addr: &str) -> Result<(TcpListener, UdpSocket), String> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let tcp = bind_tcp(addr).map_err(|error| refusal("--peer", addr, &error))?;
        let bound = local(&tcp)?;
        match UdpSocket::bind(bound) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(_) if addr.ends_with(":0") && attempts < PAIR_ATTEMPTS => {}
            Err(error) => {
                return Err(refusal("--peer", &format!("{bound} (UDP, for gossip)"), &error));
            }
        }
    }
}

fn refusal(flag: &str, addr: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{addr} is in use by another program; choose another address with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{addr} is no address of this machine; give one that is with {flag} or --bind")
        }
        _ => format!("cannot listen on {addr}: {error}; see {flag} and --bind"),
    }
}

/// What peers are told to dial.
fn advertised(flag: Option<&str>, bound: SocketAddr, name: &str) -> Result<String, String> {
    match flag {
        Some(addr) if is_nobodys(addr) => Err(format!(
            "{name} {addr} is no address that others could dial: give this machine's own"
        )),
        Some(addr) if has_port(addr) => Ok(addr.to_owned()),
        Some(host) => Ok(with_port(host, bound.port())),
        None if bound.ip().is_unspecified() => Err(format!(
            "listening on all addresses ({bound}), so others must be told which to dial: give \
             {name} HOST"
        )),
        None => Ok(bound.to_string()),
    }
}

/// The host that peers dial, with the HTTP port, when HTTP listens everywhere; else where it does.
fn http_host(advertise: &str, http: SocketAddr) -> String {
    if !http.ip().is_unspecified() {
        return http.to_string();
    }
    let host = advertise.rsplit_once(':').map_or(advertise, |(host, _)| host);
    format!("{host}:{}", http.port())
}

/// Whether `addr`, with or without a port, is an address that no machine can have.
fn is_nobodys(addr: &str) -> bool {
    let bare = addr.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let ip = bare.or_else(|_| addr.parse::<SocketAddr>().map(|addr| addr.ip()));
    ip.is_ok_and(|ip| ip.is_unspecified() || ip.is_multicast())
}

fn has_port(addr: &str) -> bool {
    let unbracketed = addr.rsplit_once(']').map_or(addr, |(_, rest)| rest);
    match unbracketed.rsplit_once(':') {
        // A bare IPv6 address is full of colons and has no port.
        Some((host, port)) => !host.contains(':') && port.parse::<u16>().is_ok(),
        None => false,
    }
}

fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The host's name, with the peer port when that is not the usual one.
pub(super) fn default_name(advertise: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "node" } else { host.trim() };
    match advertise.rsplit_once(':') {
        Some((_, port)) if port != PEER_PORT.to_string() => format!("{host}-{port}"),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_from_an_ipv6_address() {
        assert!(has_port("10.0.0.1:7071"));
        assert!(has_port("[::1]:7071"));
        assert!(!has_port("10.0.0.1"));
        assert!(!has_port("::1"));
        assert!(!has_port("[::1]"));
        assert_eq!(with_port("::1", 1), "[::1]:1");
        assert_eq!(with_port("node.example", 1), "node.example:1");
    }

    #[test]
    fn the_first_target_with_a_route_decides_where_a_joiner_listens() {
        let targets = ["", "127.0.0.1:1"].map(str::to_owned);
        let (source, target) = source_towards_any(&targets).expect("the second has a route");
        assert_eq!((source, target), (IpAddr::V4(Ipv4Addr::LOCALHOST), &targets[1]));
        let error = source_towards_any(&targets[..1]).expect_err("there is no route");
        assert!(error.contains("--bind"), "{error}");
    }

    #[test]
    fn a_member_listens_again_where_it_did() {
        let addresses = Addresses {
            http: "10.0.0.1:7070".to_owned(),
            peer: "10.0.0.1:7071".to_owned(),
            advertise: "n1.example:7071".to_owned(),
            advertise_http: "https://links.example".to_owned(),
        };
        assert_eq!(Addresses::parse(&addresses.text()), Some(addresses.clone()));
        assert_eq!(Addresses::parse("http 1.2.3.4:5\n"), None);
        let config = NodeConfig::default();
        let again = addresses.clone().complete(&config);
        assert_eq!(again.peer.as_deref(), Some("10.0.0.1:7071"));
        assert_eq!(again.advertise.as_deref(), Some("n1.example:7071"));
        assert_eq!(again.advertise_http.as_deref(), Some("https://links.example"));
        let elsewhere = NodeConfig { bind: Some("10.0.0.9".to_owned()), ..config };
        assert_eq!(addresses.complete(&elsewhere).peer, None, "a flag has the last word");
    }

    #[test]
    fn tcp_and_udp_share_the_number() {
        let (tcp, udp) = bind_pair("127.0.0.1:0").expect("loopback has free ports");
        assert_eq!(
            tcp.local_addr().expect("bound").port(),
            udp.local_addr().expect("bound").port()
        );
    }

    #[test]
    fn listening_everywhere_needs_an_address_to_advertise() {
        let all = "0.0.0.0:7071".parse().expect("an address");
        let error = advertised(None, all, "--advertise").expect_err("nothing to dial");
        assert!(error.contains("--advertise"), "{error}");
        for nobodys in ["0.0.0.0", "0.0.0.0:7071", "::", "[::]:7071", "224.0.0.1"] {
            let error = advertised(Some(nobodys), all, "--advertise").expect_err(nobodys);
            assert!(error.contains("--advertise"), "{error}");
        }
        assert_eq!(advertised(Some("10.0.0.1"), all, "").as_deref(), Ok("10.0.0.1:7071"));
        assert_eq!(advertised(Some("n1.example:9"), all, "").as_deref(), Ok("n1.example:9"));
    }
}
