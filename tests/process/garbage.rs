//! Noise on every port: nobody else notices.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::harness::{Cluster, PATIENCE};

#[test]
fn random_bytes_harm_nobody_and_get_no_answer() {
    let cluster = Cluster::start(3);
    let mut rng = StdRng::seed_from_u64(1);
    let term = cluster.nodes[0].json("/api/status").unwrap()["node"]["term"].clone();
    for _ in 0..50 {
        let mut bytes = vec![0; rng.random_range(1..4000)];
        rng.fill_bytes(&mut bytes);
        bytes[0] = 0; // so that it cannot happen to look like HTTP
        for node in &cluster.nodes {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            udp.send_to(&bytes[..bytes.len().min(1400)], &node.peer).unwrap();
            udp.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            assert!(udp.recv_from(&mut [0; 2048]).is_err(), "a stranger got an answer");
            let mut tcp = TcpStream::connect(&node.peer).unwrap();
            tcp.write_all(&bytes).ok();
            tcp.shutdown(std::net::Shutdown::Write).ok();
            tcp.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut answer = Vec::new();
            tcp.read_to_end(&mut answer).ok();
            assert!(answer.is_empty(), "a stranger got {answer:?}");
            let mut http = TcpStream::connect(node.http.trim_start_matches("http://")).unwrap();
            http.write_all(&bytes).ok();
        }
    }
    for node in &cluster.nodes {
        let key = node.shorten("https://example.com/still-here");
        assert!(node.follow(&key).is_some());
        assert!(!node.log().contains("panicked"), "{}", node.log());
    }
    assert_eq!(cluster.nodes[0].json("/api/status").unwrap()["node"]["term"], term);
}
