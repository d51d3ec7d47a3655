//! Servers that lie, change what they serve, or refuse: each is found out and named, nothing wrong is delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use contract::Code;
use importer::source::http::Options;
use mover::source::Source;

use crate::support::fault_server::{Answer, FaultServer, Request};
use crate::support::{assert_same, connect, connect_with, impatient, pattern, read, read_all};

const MIB: usize = 1 << 20;

/// A server that is good to the first request and spoils the later ones.
fn spoiling(spoil: impl Fn(&Request, &[u8]) -> Answer + Send + Sync + 'static) -> (FaultServer, Vec<u8>) {
    let content = pattern(MIB);
    let served = content.clone();
    let server =
        FaultServer::start(
            move |request| if request.number == 0 { Answer::of(request, &served) } else { spoil(request, &served) },
        );
    (server, content)
}

/// What the second request of an import that is spoiled so ends with.
fn spoiled(spoil: impl Fn(&Request, &[u8]) -> Answer + Send + Sync + 'static) -> (Code, String, usize) {
    let (server, _) = spoiling(spoil);
    let failure = read_all(&connect(&server.address("disk.img")).unwrap()).unwrap_err();
    (failure.code(), failure.what().to_owned(), server.seen().len())
}

#[test]
fn content_that_changes_midway_is_noticed_at_the_next_request() {
    let (code, what, requests) = spoiled(|request, content| Answer::of(request, content).with("ETag", "\"v2\""));
    assert_eq!((code, requests), (Code::SourceChanged, 2));
    assert!(what.contains("\"v1\"") && what.contains("\"v2\""), "{what}");
}

#[test]
fn the_whole_content_instead_of_a_range_means_the_validator_no_longer_held() {
    let (code, _, requests) = spoiled(|_, content| Answer::new("200 OK", content).with("ETag", "\"v2\""));
    assert_eq!((code, requests), (Code::SourceChanged, 2));
    let (code, ..) = spoiled(|_, content| Answer::new("200 OK", content));
    assert_eq!(code, Code::SourceChanged);
}

#[test]
fn a_total_length_that_changes_is_a_changed_source() {
    let (code, what, _) = spoiled(|request, content| {
        Answer::of(request, content)
            .with("Content-Range", &format!("bytes 65536-{}/{}", content.len() - 1, content.len() + 1))
    });
    assert_eq!(code, Code::SourceChanged);
    assert!(what.contains("1048576") && what.contains("1048577"), "{what}");
    let (code, ..) = spoiled(|_, _| Answer::new("416 Range Not Satisfiable", b"").with("Content-Range", "bytes */7"));
    assert_eq!(code, Code::SourceChanged);
}

#[test]
fn another_range_than_the_one_asked_for_is_refused() {
    let (code, what, requests) = spoiled(|_, content| {
        Answer::new("206 Partial Content", &content[..100]).with("Content-Range", "bytes 0-99/1048576")
    });
    assert_eq!((code, requests), (Code::SourceHttp, 2));
    assert!(what.contains("65536") && what.contains("0-99"), "{what}");
}

#[test]
fn an_encoding_that_was_not_asked_for_is_refused_by_name() {
    let content = pattern(MIB);
    let server = FaultServer::start(move |request| Answer::of(request, &content).with("Content-Encoding", "gzip"));
    let failure = connect(&server.address("disk.img")).err().unwrap();
    assert_eq!(failure.code(), Code::SourceHttp);
    assert!(failure.what().contains("gzip"), "{failure}");
    let (code, ..) = spoiled(|request, content| Answer::of(request, content).with("Content-Encoding", "gzip"));
    assert_eq!(code, Code::SourceHttp);
    // The label of a compressed file itself, as Apache gives it.
    connect(&server.address("disk.img.gz")).unwrap();
}

#[test]
fn a_range_refused_after_it_was_promised_is_a_lie() {
    let (code, what, _) = spoiled(|_, _| Answer::new("416 Range Not Satisfiable", b""));
    assert_eq!(code, Code::SourceHttp);
    assert!(what.contains("416"), "{what}");
}

#[test]
fn ranges_refused_from_the_start_are_not_needed() {
    let content = pattern(MIB);
    let served = content.clone();
    let server = FaultServer::start(move |request| match request.header("range") {
        Some(_) => Answer::new("416 Range Not Satisfiable", b""),
        None => Answer::new("200 OK", &served),
    });
    let source = connect(&server.address("disk.img")).unwrap();
    assert!(!source.has_ranges());
    assert_same(&read_all(&source).unwrap(), &content);
}

#[test]
fn more_bytes_than_asked_for_are_not_looked_at() {
    let (server, content) = spoiling(|request, content| {
        let range = request.range(content.len()).unwrap();
        let longer = [&content[range.clone()], &b"more"[..]].concat();
        Answer::of(request, content).body(&longer).with("Content-Length", &longer.len().to_string())
    });
    let source = connect(&server.address("disk.img")).unwrap();
    assert_same(&read(&source, 100_000..200_000).unwrap(), &content[100_000..200_000]);
    assert_same(&read_all(&source).unwrap(), &content);
}

#[test]
fn fewer_bytes_than_asked_for_are_completed_by_further_requests() {
    let content = pattern(MIB);
    let served = content.clone();
    let server = FaultServer::start(move |request| {
        let range = request.range(served.len()).unwrap();
        let end = range.end.min(range.start + 200_000);
        let value = format!("bytes {}-{}/{}", range.start, end - 1, served.len());
        Answer::new("206 Partial Content", &served[range.start..end]).with("Content-Range", &value)
    });
    let source = connect(&server.address("disk.img")).unwrap();
    assert_same(&read_all(&source).unwrap(), &content);
    assert_eq!(source.requests(), 6);
    assert!(server.connections() <= 2, "{} connections", server.connections());
}

#[test]
fn chunked_content_without_a_length_ends_with_its_last_chunk() {
    let content = pattern(MIB + 7);
    let served = content.clone();
    let server = FaultServer::start(move |_| Answer::new("200 OK", &served).chunked());
    let source = connect(&server.address("disk.img")).unwrap();
    assert_eq!(
        (source.len(), source.has_ranges(), source.end_is_known(), source.identity()),
        (None, false, true, None)
    );
    assert!(source.warnings()[0].contains("starts over"), "{:?}", source.warnings());
    assert_same(&read_all(&source).unwrap(), &content);
}

#[test]
fn content_that_ends_with_the_connection_says_that_its_end_is_not_known() {
    let content = pattern(MIB);
    let served = content.clone();
    let server = FaultServer::start(move |_| Answer::new("200 OK", &served).without("Content-Length"));
    let source = connect(&server.address("disk.img")).unwrap();
    assert_eq!((source.len(), source.end_is_known()), (None, false));
    assert_same(&read_all(&source).unwrap(), &content);
}

#[test]
fn a_denial_is_final_and_costs_one_request() {
    for status in ["403 Forbidden", "401 Unauthorized"] {
        let server =
            FaultServer::start(
                move |request| if request.number == 0 { Answer::new(status, b"") } else { Answer::of(request, b"x") },
            );
        let failure = connect(&server.address("disk.img")).err().unwrap();
        assert_eq!((failure.code(), failure.is_transient()), (Code::SourceDenied, false));
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn servers_that_refuse_head_requests_are_none_the_wiser() {
    let content = pattern(MIB);
    let served = content.clone();
    let server = FaultServer::start(move |request| {
        if request.method == "HEAD" { Answer::new("403 Forbidden", b"") } else { Answer::of(request, &served) }
    });
    assert_same(&read_all(&connect(&server.address("disk.img")).unwrap()).unwrap(), &content);
}

#[test]
fn a_storm_of_503_is_sat_out_as_long_as_the_server_asks() {
    let content = pattern(MIB);
    let served = content.clone();
    let server = FaultServer::start(move |request| match request.number {
        0 | 2 => Answer::new("503 Service Unavailable", b"busy").with("Retry-After", "1"),
        3 => Answer::new("429 Too Many Requests", b""),
        _ => Answer::of(request, &served),
    });
    let begun = Instant::now();
    let source =
        connect_with(&server.address("disk.img"), Options { retry_budget: Duration::from_secs(60), ..impatient() })
            .unwrap();
    assert_same(&read_all(&source).unwrap(), &content);
    assert!(begun.elapsed() >= Duration::from_secs(2), "Retry-After was not kept");
    assert_eq!(server.seen().len(), 5);
}

#[test]
fn a_wait_longer_than_the_budget_is_not_begun() {
    let server = FaultServer::start(|_| Answer::new("503 Service Unavailable", b"").with("Retry-After", "3600"));
    let failure = connect(&server.address("disk.img")).err().unwrap();
    assert_eq!((failure.code(), failure.is_transient()), (Code::SourceHttp, true));
    assert!(failure.what().contains("503") && failure.what().contains("3600"), "{failure}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn an_error_that_stays_is_given_up_after_the_budget_with_the_last_cause() {
    let server = FaultServer::start(|_| Answer::new("502 Bad Gateway", b""));
    let failure = connect(&server.address("disk.img")).err().unwrap();
    assert_eq!((failure.code(), failure.is_transient()), (Code::SourceHttp, true));
    assert!(failure.what().contains("502") && failure.what().contains("given up after 1 s"), "{failure}");
    assert!(server.seen().len() > 2);
}

/// An origin that redirects to a new signed address each time, and a storage whose addresses serve `lifetime` requests.
fn signing(lifetime: usize, refusal: &'static str, content: &Arc<Vec<u8>>) -> (FaultServer, FaultServer) {
    let (served, uses) = (Arc::clone(content), Arc::new(AtomicUsize::new(0)));
    let current = Arc::new(AtomicUsize::new(0));
    let valid = Arc::clone(&current);
    let storage = FaultServer::start(move |request| {
        let signature: usize = request.path.rsplit('=').next().unwrap().parse().unwrap();
        let is_valid =
            signature == valid.load(Ordering::SeqCst) && uses.fetch_add(1, Ordering::SeqCst) % lifetime < lifetime - 1;
        if is_valid { Answer::of(request, &served) } else { Answer::new(refusal, b"expired") }
    });
    let port = storage.port;
    let origin = FaultServer::start(move |_| {
        let signature = current.fetch_add(1, Ordering::SeqCst) + 1;
        Answer::redirect(&format!("http://127.0.0.1:{port}/object?signature={signature}"))
    });
    (origin, storage)
}

#[test]
fn an_expired_signed_address_is_renewed_from_the_original_one() {
    for refusal in ["403 Forbidden", "401 Unauthorized", "404 Not Found", "410 Gone", "400 Bad Request", "302 Found"] {
        let content = Arc::new(pattern(MIB));
        let (origin, _storage) = signing(3, refusal, &content);
        let source = connect(&origin.address("disk.img")).unwrap();
        for part in 0..8_usize {
            let range = part * MIB / 8..(part + 1) * MIB / 8;
            assert_same(&read(&source, range.start as u64..range.end as u64).unwrap(), &content[range]);
        }
        assert!(origin.seen().len() > 2, "{refusal}");
        assert_eq!(source.redirects_resolved(), origin.seen().len() as u64, "{refusal}");
    }
}

#[test]
fn readers_that_meet_one_expiry_renew_the_address_once() {
    let content = Arc::new(pattern(4 * MIB));
    let (served, expired) = (Arc::clone(&content), Arc::new(AtomicUsize::new(0)));
    let expire = Arc::clone(&expired);
    let storage = FaultServer::start(move |request| {
        let is_old = request.path.ends_with("=0") && expired.load(Ordering::SeqCst) == 1;
        if is_old { Answer::new("403 Forbidden", b"") } else { Answer::of(request, &served) }
    });
    let port = storage.port;
    let origin = FaultServer::start(move |request| {
        Answer::redirect(&format!("http://127.0.0.1:{port}/object?n={}", request.number))
    });
    let source = connect(&origin.address("disk.img")).unwrap();
    expire.store(1, Ordering::SeqCst);
    std::thread::scope(|scope| {
        for quarter in 0..4_usize {
            let (source, content) = (&source, &content);
            scope.spawn(move || {
                let range = quarter * MIB..(quarter + 1) * MIB;
                assert_same(&read(source, range.start as u64..range.end as u64).unwrap(), &content[range]);
            });
        }
    });
    assert_eq!((origin.seen().len(), source.redirects_resolved()), (2, 2));
}

#[test]
fn a_renewed_address_that_refuses_too_is_final() {
    let content = pattern(MIB);
    let storage = FaultServer::start(move |request| {
        if request.number == 0 { Answer::of(request, &content) } else { Answer::new("403 Forbidden", b"") }
    });
    let target = storage.address("object");
    let origin = FaultServer::start(move |_| Answer::redirect(&target));
    let failure = read_all(&connect(&origin.address("disk.img")).unwrap()).unwrap_err();
    assert_eq!((failure.code(), origin.seen().len(), storage.seen().len()), (Code::SourceDenied, 2, 3));
}

#[test]
fn a_renewed_address_with_other_content_is_a_changed_source() {
    let (old, new) = (pattern(MIB), vec![7; MIB]);
    let storage = FaultServer::start(move |request| match (request.path.as_str(), request.number) {
        ("/0", 0) => Answer::of(request, &old),
        ("/0", _) => Answer::new("403 Forbidden", b""),
        _ => Answer::of(request, &new).with("ETag", "\"v2\""),
    });
    let port = storage.port;
    let origin =
        FaultServer::start(move |request| Answer::redirect(&format!("http://127.0.0.1:{port}/{}", request.number)));
    let failure = read_all(&connect(&origin.address("disk.img")).unwrap()).unwrap_err();
    assert_eq!(failure.code(), Code::SourceChanged);
}

#[test]
fn a_file_that_is_removed_midway_is_not_found() {
    let (code, _, requests) = spoiled(|_, _| Answer::new("404 Not Found", b""));
    assert_eq!((code, requests), (Code::SourceNotFound, 2));
}
