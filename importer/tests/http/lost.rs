//! Connections that are cut, stall or drip: what was read stays read, and reading goes on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contract::Code;
use importer::source::HttpSource;
use importer::source::http::Options;
use mover::cancel::Cancel;

use crate::support::fault_server::{Answer, FaultServer};
use crate::support::{assert_same, connect, connect_with, impatient, pattern, read, read_all};

const MIB: usize = 1 << 20;

#[test]
fn a_connection_cut_every_few_mebibytes_fetches_every_byte_once() {
    let content = pattern(40 * MIB);
    let served = content.clone();
    let server = FaultServer::start(move |request| Answer::of(request, &served).cut_after(2 * MIB));
    // One such cut that were waited for would end this import.
    let source =
        connect_with(&server.address("disk.img"), Options { retry_budget: Duration::from_secs(5), ..impatient() })
            .unwrap();
    assert_same(&read_all(&source).unwrap(), &content);
    assert_eq!((source.fetched_bytes(), source.requests()), (content.len() as u64, 21));
}

#[test]
fn a_head_that_is_cut_is_completed() {
    let content = pattern(MIB);
    let served = content.clone();
    let server = FaultServer::start(move |request| {
        if request.number < 3 { Answer::of(request, &served).cut_after(10_000) } else { Answer::of(request, &served) }
    });
    let source = connect(&server.address("disk.img")).unwrap();
    assert_same(&read_all(&source).unwrap(), &content);
    assert_eq!(source.fetched_bytes(), content.len() as u64);
}

#[test]
fn a_body_that_always_ends_at_the_same_byte_is_a_truncated_source() {
    let content = pattern(MIB);
    let server = FaultServer::start(move |request| {
        let start = request.range(MIB).unwrap().start;
        Answer::of(request, &content).cut_after(500_000_usize.saturating_sub(start))
    });
    let failure = read_all(&connect(&server.address("disk.img")).unwrap()).unwrap_err();
    assert_eq!((failure.code(), failure.is_transient()), (Code::SourceTruncated, true));
    assert!(failure.what().contains("byte 500000 of 1048576") && failure.what().contains("given up"), "{failure}");
    assert_eq!(failure.place().unwrap(), format!("{}, offset 500000", server.address("disk.img")));
}

#[test]
fn a_body_shorter_than_its_content_range_is_read_on() {
    let content = pattern(MIB);
    let served = content.clone();
    let server = FaultServer::start(move |request| {
        let range = request.range(served.len()).unwrap();
        let short = &served[range.start..range.end.min(range.start + 300_000)];
        Answer::of(request, &served).body(short).with("Content-Length", &short.len().to_string())
    });
    assert_same(&read_all(&connect(&server.address("disk.img")).unwrap()).unwrap(), &content);
}

#[test]
fn a_server_that_stalls_counts_as_lost_after_the_idle_timeout() {
    let content = pattern(MIB);
    let served = content.clone();
    let server = FaultServer::start(move |request| {
        let answer = Answer::of(request, &served);
        if request.number == 1 { answer.pause_after(100_000, Duration::from_secs(600)) } else { answer }
    });
    let options = || Options { idle_timeout: Duration::from_millis(300), ..impatient() };
    let source = connect_with(&server.address("disk.img"), options()).unwrap();
    assert_same(&read_all(&source).unwrap(), &content);
    assert_eq!((source.requests(), source.fetched_bytes()), (3, content.len() as u64));
    let stalled =
        FaultServer::start(|request| Answer::of(request, &pattern(MIB)).pause_after(0, Duration::from_secs(600)));
    let failure = connect_with(&stalled.address("disk.img"), options()).err().unwrap();
    assert_eq!(failure.code(), Code::SourceTimeout);
    assert!(failure.what().contains("no byte came for 0.3 s"), "{failure}");
}

#[test]
fn a_drip_is_slow_but_not_lost() {
    let content = pattern(70_000);
    let served = content.clone();
    let server =
        FaultServer::start(move |request| Answer::of(request, &served).pause_after(1, Duration::from_millis(400)));
    let source =
        connect_with(&server.address("disk.img"), Options { idle_timeout: Duration::from_secs(2), ..impatient() })
            .unwrap();
    assert_same(&read_all(&source).unwrap(), &content);
    assert_eq!(source.requests(), 2);
}

#[test]
fn the_total_timeout_is_final() {
    let server =
        FaultServer::start(|request| Answer::of(request, &pattern(MIB)).pause_after(100, Duration::from_secs(600)));
    let options = Options {
        total_timeout: Some(Duration::from_millis(500)),
        retry_budget: Duration::from_secs(600),
        idle_timeout: Duration::from_secs(600),
        ..impatient()
    };
    let failure = connect_with(&server.address("disk.img"), options).err().unwrap();
    assert_eq!(failure.code(), Code::SourceTimeout);
    assert!(failure.what().contains("total time-out of 0.5 s"), "{failure}");
}

#[test]
fn a_wait_of_any_kind_stops_on_request() {
    let stalling =
        FaultServer::start(|request| Answer::of(request, &pattern(MIB)).pause_after(0, Duration::from_secs(600)));
    let refusing = FaultServer::start(|_| Answer::new("503 Service Unavailable", b"").with("Retry-After", "500"));
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent_address = format!("http://127.0.0.1:{}/", silent.local_addr().unwrap().port());
    for address in [stalling.address("x"), refusing.address("x"), silent_address] {
        let cancel = Cancel::new();
        let patient =
            Options { idle_timeout: Duration::from_secs(600), retry_budget: Duration::from_secs(600), ..impatient() };
        let (given, to) = (cancel.clone(), address.clone());
        let waiting =
            std::thread::spawn(move || HttpSource::connect(to.parse().unwrap(), patient, given).err().unwrap());
        std::thread::sleep(Duration::from_millis(200));
        cancel.cancel();
        assert_eq!(waiting.join().unwrap().code(), Code::Cancelled, "{address}");
    }
}

#[test]
fn the_budget_is_one_for_all_readers_and_begins_anew_with_each_new_byte() {
    let content = Arc::new(pattern(4 * MIB));
    let (served, refusals) = (Arc::clone(&content), Arc::new(AtomicUsize::new(0)));
    // Every other request is refused; each answer brings half a mebibyte.
    let server = FaultServer::start(move |request| {
        let is_refused = request.number > 0 && refusals.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        if is_refused {
            Answer::new("500 Internal Server Error", b"")
        } else {
            Answer::of(request, &served).cut_after(MIB / 2)
        }
    });
    let source = connect(&server.address("disk.img")).unwrap();
    std::thread::scope(|scope| {
        for half in 0..2_usize {
            let (source, content) = (&source, &content);
            scope.spawn(move || {
                let range = half * 2 * MIB..(half + 1) * 2 * MIB;
                assert_same(&read(source, range.start as u64..range.end as u64).unwrap(), &content[range]);
            });
        }
    });
}

/// A server without ranges that cuts the first body after half, with this validator.
fn sequential(name: &'static str, first: &'static str, second: &'static str) -> (FaultServer, Vec<u8>) {
    let content = pattern(3 * MIB);
    let served = content.clone();
    let server = FaultServer::start(move |request| {
        let answer = Answer::new("200 OK", &served);
        if request.number == 0 { answer.with(name, first).cut_after(3 * MIB / 2) } else { answer.with(name, second) }
    });
    (server, content)
}

#[test]
fn without_ranges_a_cut_is_made_good_by_skipping_if_the_content_is_provably_the_same() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (name, value) in [("ETag", "\"v1\""), ("Last-Modified", date)] {
        let (server, content) = sequential(name, value, value);
        let source = connect(&server.address("disk.img")).unwrap();
        assert_same(&read_all(&source).unwrap(), &content);
        assert_eq!(source.fetched_bytes(), 9 * MIB as u64 / 2, "{name}");
    }
}

#[test]
fn without_ranges_a_cut_is_final_if_the_content_changed_or_may_have() {
    let (server, _) = sequential("ETag", "\"v1\"", "\"v2\"");
    assert_eq!(read_all(&connect(&server.address("disk.img")).unwrap()).unwrap_err().code(), Code::SourceChanged);
    let (server, _) = sequential("X-Nothing", "a", "a");
    let failure = read_all(&connect(&server.address("disk.img")).unwrap()).unwrap_err();
    assert_eq!((failure.code(), server.seen().len()), (Code::SourceTruncated, 1));
    assert!(failure.what().contains("no ranges") && failure.what().contains("byte 1572864 of 3145728"), "{failure}");
}

#[test]
fn a_chunked_body_that_is_cut_does_not_look_like_its_end() {
    let content = pattern(MIB);
    let server = FaultServer::start(move |_| Answer::new("200 OK", &content).chunked().cut_after(MIB / 2));
    let failure = read_all(&connect(&server.address("disk.img")).unwrap()).unwrap_err();
    assert_eq!(failure.code(), Code::SourceTruncated);
}

#[test]
fn skipping_what_is_known_is_no_progress() {
    let content = pattern(3 * MIB);
    let server = FaultServer::start(move |_| Answer::new("200 OK", &content).with("ETag", "\"v1\"").cut_after(2 * MIB));
    let failure = read_all(&connect(&server.address("disk.img")).unwrap()).unwrap_err();
    assert_eq!(failure.code(), Code::SourceTruncated);
    assert!(failure.what().contains("given up after 1 s"), "{failure}");
}

#[test]
fn a_server_that_closes_connections_it_kept_alive_costs_nothing() {
    let content = pattern(4 * MIB);
    let served = content.clone();
    // Good answers that promise to keep the connection, which is then closed.
    let server = FaultServer::start(move |request| Answer::of(request, &served).cut_after(MIB / 4));
    let source = connect(&server.address("disk.img")).unwrap();
    for part in 0..16_usize {
        let range = part * MIB / 4..(part + 1) * MIB / 4;
        assert_same(&read(&source, range.start as u64..range.end as u64).unwrap(), &content[range]);
    }
    assert_eq!(source.fetched_bytes(), content.len() as u64);
}
