//! Ranges, no ranges, passwords and redirects, as nginx does them.

use contract::Code;
use importer::source::http::{Header, Options};
use importer::source::{Credentials, Secret, SourcePolicy};
use mover::source::Source;

use crate::support::fault_server::{Answer, FaultServer};
use crate::support::server::{Server, free_port};
use crate::support::{assert_same, connect, connect_with, impatient, pattern, read, read_all};

const MIB: usize = 1 << 20;

fn plain() -> Server {
    Server::nginx(|port| {
        format!(
            "server {{ listen 127.0.0.1:{port}; location /sequential/ {{ max_ranges 0; }} location /page/ {{ default_type text/html; }} }}"
        )
    })
}

fn login(user: &str, password: &str) -> Options {
    Options {
        credentials: Some(Credentials { user: Secret::new(user), password: Secret::new(password) }),
        ..impatient()
    }
}

#[test]
fn one_request_tells_all_about_a_file_and_brings_its_head() {
    let server = plain();
    let content = pattern(3 * MIB + 5);
    let source = connect(&server.put("disk.img", &content)).unwrap();
    assert_eq!(source.len(), Some(content.len() as u64));
    assert!(source.has_ranges() && source.end_is_known() && source.parallelism() == 4);
    assert!(source.identity().unwrap().starts_with("etag:\""), "{:?}", source.identity());
    assert_same(&read(&source, 0..512).unwrap(), &content[..512]);
    assert_same(&read(&source, 100..65_536).unwrap(), &content[100..65_536]);
    assert_eq!((source.requests(), source.fetched_bytes()), (1, 65_536));
    assert_eq!(source.redirects_resolved(), 0);
    assert_eq!(source.warnings(), Vec::<String>::new());
}

#[test]
fn any_range_reads_as_the_file_has_it_and_fetches_nothing_twice() {
    let server = plain();
    let content = pattern(3 * MIB + 5);
    let source = connect(&server.put("disk.img", &content)).unwrap();
    for range in [
        MIB..2 * MIB,
        65_535..65_537,
        0..content.len(),
        content.len() - 1..content.len() + 100,
        7..7,
        content.len()..content.len() + 1,
    ] {
        let expected = &content[range.start..range.end.min(content.len())];
        assert_same(&read(&source, range.start as u64..range.end as u64).unwrap(), expected);
    }
    let whole = connect(&server.address("disk.img")).unwrap();
    assert_same(&read_all(&whole).unwrap(), &content);
    assert_eq!((whole.requests(), whole.fetched_bytes()), (2, content.len() as u64));
}

#[test]
fn four_readers_at_once_get_their_own_bytes() {
    let server = plain();
    let content = pattern(16 * MIB);
    let source = connect(&server.put("disk.img", &content)).unwrap();
    std::thread::scope(|scope| {
        for quarter in 0..4 {
            let (source, content) = (&source, &content);
            scope.spawn(move || {
                for part in 0..4 {
                    let range = (quarter * 4 + part) * MIB..(quarter * 4 + part + 1) * MIB;
                    assert_same(&read(source, range.start as u64..range.end as u64).unwrap(), &content[range]);
                }
            });
        }
    });
}

#[test]
fn small_files_and_empty_ones_are_whole_in_the_first_answer() {
    let server = plain();
    for length in [0, 1, 511, 65_535, 65_536, 65_537] {
        let content = pattern(length);
        let source = connect(&server.put(&format!("{length}"), &content)).unwrap();
        assert_eq!((source.len(), source.has_ranges()), (Some(length as u64), true), "{length}");
        assert_same(&read_all(&source).unwrap(), &content);
        assert_eq!(source.requests(), if length > 65_536 { 2 } else { 1 }, "{length}");
    }
}

#[test]
fn a_server_without_ranges_is_read_once_from_the_first_answer() {
    let server = plain();
    let content = pattern(5 * MIB);
    let source = connect(&server.put("sequential/disk.img", &content)).unwrap();
    assert!(!source.has_ranges() && source.parallelism() == 1 && source.len() == Some(content.len() as u64));
    assert_same(&read_all(&source).unwrap(), &content);
    assert_eq!((source.requests(), source.fetched_bytes()), (1, content.len() as u64));
    assert_eq!(source.open(0..1).err().unwrap().code(), Code::Internal);
}

#[test]
fn a_missing_file_is_reported_at_once_with_its_address() {
    let server = plain();
    let failure = connect(&(server.address("absent.img") + "?token=hunter2")).err().unwrap();
    assert_eq!(failure.code(), Code::SourceNotFound);
    assert_eq!(failure.place().unwrap(), server.address("absent.img") + "?…");
    assert!(!failure.is_transient() && failure.what().contains("404"), "{failure}");
    assert_eq!(server.stop().lines().count(), 1);
}

#[test]
fn a_web_page_is_only_warned_about() {
    let server = plain();
    let source = connect(&server.put("page/disk", b"<html>")).unwrap();
    assert!(source.warnings()[0].contains("web page"), "{:?}", source.warnings());
}

/// `alice:secret` in crypt's notation, by `openssl passwd`.
fn protected() -> Server {
    let hash = std::process::Command::new("openssl")
        .args(["passwd", "-5", "-salt", "salt", "secret"])
        .output()
        .unwrap()
        .stdout;
    let server = Server::nginx(|port| {
        format!("server {{ listen 127.0.0.1:{port}; location / {{ auth_basic x; auth_basic_user_file users; }} }}")
    });
    std::fs::write(server.directory.path().join("users"), format!("alice:{}", String::from_utf8(hash).unwrap()))
        .unwrap();
    server
}

#[test]
fn a_password_opens_what_is_closed_without_it() {
    let server = protected();
    let content = pattern(200_000);
    let address = server.put("disk.img", &content);
    let in_address = address.replace("http://", "http://alice:secret@");
    assert_same(&read_all(&connect_with(&address, login("alice", "secret")).unwrap()).unwrap(), &content);
    let source = connect(&in_address).unwrap();
    assert_same(&read_all(&source).unwrap(), &content);
    assert_eq!(source.name(), address);
    assert!(source.warnings()[0].contains("without encryption"), "{:?}", source.warnings());
    for options in [impatient(), login("alice", "wrong")] {
        let failure = connect_with(&address, options).err().unwrap();
        assert_eq!((failure.code(), failure.is_transient()), (Code::SourceDenied, false));
        assert!(!format!("{failure:?}").contains("wrong"));
    }
}

#[test]
fn redirects_are_followed_once_and_the_end_is_pinned() {
    let server = Server::nginx(|port| {
        format!(
            "server {{ listen 127.0.0.1:{port}; location = /latest {{ return 302 /hop; }} location = /hop {{ return 307 http://127.0.0.1:{port}/disk.img; }} }}"
        )
    });
    let content = pattern(8 * MIB);
    server.put("disk.img", &content);
    let source = connect(&server.address("latest")).unwrap();
    for part in 0..8 {
        assert_same(
            &read(&source, (part * MIB) as u64..((part + 1) * MIB) as u64).unwrap(),
            &content[part * MIB..(part + 1) * MIB],
        );
    }
    assert_eq!((source.redirects_resolved(), source.requests()), (1, 11));
    assert_eq!(source.name(), server.address("latest"));
    assert_eq!(server.stop().matches("/latest").count(), 1);
}

#[test]
fn redirects_in_a_circle_end() {
    let server = Server::nginx(|port| format!("server {{ listen 127.0.0.1:{port}; return 302 /again; }}"));
    let failure = connect(&server.address("disk.img")).err().unwrap();
    assert_eq!(failure.code(), Code::SourceHttp);
    assert!(failure.what().contains("10 redirects"), "{failure}");
    assert_eq!(server.stop().lines().count(), 11);
}

#[test]
fn passwords_and_headers_stay_behind_when_a_redirect_leaves_the_host_or_port() {
    let content = pattern(200_000);
    let served = content.clone();
    let elsewhere = FaultServer::start(move |request| Answer::of(request, &served));
    let target = elsewhere.address("disk.img");
    let origin = FaultServer::start(move |_| Answer::redirect(&target));
    let options = Options {
        headers: vec![Header::parse("X-Extra: a").unwrap(), Header::parse_secret("X-Token: hunter2").unwrap()],
        ..login("alice", "secret")
    };
    let source = connect_with(&origin.address("disk.img"), options).unwrap();
    assert_same(&read_all(&source).unwrap(), &content);
    let sent = &origin.seen()[0];
    assert_eq!(sent.header("authorization"), Some("Basic YWxpY2U6c2VjcmV0"));
    assert_eq!((sent.header("x-extra"), sent.header("x-token")), (Some("a"), Some("hunter2")));
    assert_eq!(elsewhere.seen().len(), 2);
    for request in elsewhere.seen() {
        assert!(
            ["authorization", "x-extra", "x-token"].iter().all(|name| request.header(name).is_none()),
            "{request:?}"
        );
    }
}

#[test]
fn a_denial_after_a_redirect_says_that_nothing_was_sent_along() {
    let elsewhere = FaultServer::start(|_| Answer::new("401 Unauthorized", b""));
    let target = elsewhere.address("disk.img");
    let origin = FaultServer::start(move |_| Answer::redirect(&target));
    let failure = connect_with(&origin.address("disk.img"), login("alice", "secret")).err().unwrap();
    assert_eq!(failure.code(), Code::SourceDenied);
    assert!(failure.what_to_do().contains("redirect"), "{}", failure.what_to_do());
}

#[test]
fn every_request_says_who_asks_and_that_it_wants_the_bytes_as_they_are() {
    let content = pattern(200_000);
    let server = FaultServer::start(move |request| Answer::of(request, &content));
    read_all(&connect(&server.address("disk.img")).unwrap()).unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    for request in &seen {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/disk.img"));
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert!(request.header("user-agent").unwrap().starts_with("gantry/"));
    }
    assert_eq!((seen[0].header("range"), seen[0].header("if-range")), (Some("bytes=0-65535"), None));
    assert_eq!((seen[1].header("range"), seen[1].header("if-range")), (Some("bytes=65536-199999"), Some("\"v1\"")));
}

#[test]
fn readers_one_after_another_use_one_connection() {
    let content = pattern(4 * MIB);
    let server = FaultServer::start(move |request| Answer::of(request, &content));
    let source = connect(&server.address("disk.img")).unwrap();
    for part in 0..16_u64 {
        read(&source, part << 18..(part + 1) << 18).unwrap();
    }
    assert!(server.connections() <= 2, "{} connections for 17 requests", server.connections());
}

#[test]
fn the_policy_stops_addresses_names_and_redirects() {
    let policed = || Options { policy: SourcePolicy::deny_internal(), ..impatient() };
    let failure = connect_with("http://169.254.169.254/latest/meta-data", policed()).err().unwrap();
    assert_eq!(failure.code(), Code::SourcePolicy);
    let failure = connect_with("http://[::ffff:169.254.169.254]/", policed()).err().unwrap();
    assert_eq!(failure.code(), Code::SourcePolicy);
    let origin = FaultServer::start(|_| Answer::redirect("http://0xa9fea9fe/latest/meta-data"));
    let failure = connect_with(&origin.address("disk.img"), policed()).err().unwrap();
    assert_eq!(failure.code(), Code::SourcePolicy);
    assert!(failure.what().contains("169.254.169.254"), "{failure}");
}

#[test]
fn a_port_nobody_listens_on_and_a_name_nobody_has_are_told_apart() {
    let refused = connect(&format!("http://127.0.0.1:{}/", free_port())).err().unwrap();
    assert_eq!(refused.code(), Code::SourceUnreachable);
    assert!(
        refused.what().contains("connection refused") && refused.what().contains("given up after 1 s"),
        "{refused}"
    );
    assert!(refused.is_transient());
    let unknown = connect("http://no-such-host.invalid/disk.img").err().unwrap();
    assert_eq!(unknown.code(), Code::SourceUnreachable);
    assert!(unknown.what().contains("cannot resolve no-such-host.invalid"), "{unknown}");
}
