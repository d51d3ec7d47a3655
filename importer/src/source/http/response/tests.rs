//! One table per rule: heads of responses, and what they are taken for.

use super::*;

const TAG: &str = "\"abc-1\"";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn head(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap())).collect()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

fn code(trouble: Trouble) -> (&'static str, Code) {
    match trouble {
        Trouble::Final(failure) => ("final", failure.code()),
        Trouble::Expired(failure) => ("expired", failure.code()),
        Trouble::Passing(passing) => ("passing", passing.failure.code()),
    }
}

fn known() -> Facts {
    Facts {
        length: Some(1000),
        ranges: true,
        end_is_known: true,
        tag: Some(TAG.into()),
        modified: Some(MODIFIED.into()),
        is_page: false,
    }
}

#[test]
fn content_ranges_are_read_strictly() {
    let range = |part, total| Some(ContentRange { part, total });
    for (value, expected) in [
        ("bytes 0-9/100", range(Some(0..10), Some(100))),
        ("Bytes 90-99/100", range(Some(90..100), Some(100))),
        ("bytes 0-0/1", range(Some(0..1), Some(1))),
        ("bytes 5-9/*", range(Some(5..10), None)),
        ("bytes */100", range(None, Some(100))),
        ("bytes */*", None),
        ("bytes 9-0/100", None),
        ("bytes 0-100/100", None),
        ("bytes 0-9", None),
        ("bytes=0-9/100", None),
        ("items 0-9/100", None),
        ("bytes +0-9/100", None),
        ("bytes 0-9/-1", None),
        ("bytes 0-18446744073709551615/18446744073709551615", None),
        ("bytes 0-9/18446744073709551616", None),
        ("bytes  0-9/100", None),
        ("", None),
    ] {
        assert_eq!(parse_content_range(value), expected, "{value}");
    }
}

#[test]
fn a_partial_first_answer_tells_length_ranges_and_validators() {
    let headers = head(&[
        ("content-range", "bytes 0-99/1000"),
        ("etag", TAG),
        ("last-modified", MODIFIED),
        ("content-type", "application/octet-stream"),
    ]);
    assert_eq!(first(status(206), &headers, Some(&(0..100))).unwrap(), First::Part(known(), 100));
}

#[test]
fn a_whole_first_answer_ends_by_length_by_chunks_or_by_nobody_knows() {
    for (headers, length, end_is_known) in [
        (head(&[("content-length", "77")]), Some(77), true),
        (head(&[("transfer-encoding", "chunked")]), None, true),
        (head(&[]), None, false),
    ] {
        assert_eq!(
            first(status(200), &headers, Some(&(0..100))).unwrap(),
            First::Whole(Facts { length, end_is_known, ..Facts::default() })
        );
    }
}

#[test]
fn an_unsatisfiable_first_range_means_an_empty_resource_or_no_ranges() {
    let empty = first(status(416), &head(&[("content-range", "bytes */0")]), Some(&(0..100))).unwrap();
    assert!(matches!(empty, First::Empty(Facts { length: Some(0), .. })));
    assert_eq!(first(status(416), &head(&[]), Some(&(0..100))).unwrap(), First::NoRanges);
    assert_eq!(code(first(status(416), &head(&[]), None).unwrap_err()), ("final", Code::SourceHttp));
}

#[test]
fn statuses_are_sorted_by_what_may_help() {
    for (number, expected) in [
        (401, ("expired", Code::SourceDenied)),
        (403, ("expired", Code::SourceDenied)),
        (404, ("expired", Code::SourceNotFound)),
        (410, ("expired", Code::SourceNotFound)),
        (400, ("expired", Code::SourceHttp)),
        (302, ("expired", Code::SourceHttp)),
        (407, ("final", Code::SourceDenied)),
        (405, ("final", Code::SourceHttp)),
        (418, ("final", Code::SourceHttp)),
        (204, ("final", Code::SourceHttp)),
        (408, ("passing", Code::SourceHttp)),
        (425, ("passing", Code::SourceHttp)),
        (429, ("passing", Code::SourceHttp)),
        (500, ("passing", Code::SourceHttp)),
        (503, ("passing", Code::SourceHttp)),
        (599, ("passing", Code::SourceHttp)),
    ] {
        assert_eq!(code(first(status(number), &head(&[]), Some(&(0..100))).unwrap_err()), expected, "{number}");
        assert_eq!(code(part(status(number), &head(&[]), &(0..100), &known()).unwrap_err()), expected, "{number}");
    }
}

#[test]
fn a_server_that_asks_for_patience_says_how_long() {
    for (value, expected) in [
        ("120", Some(RetryAfter::Delay(Duration::from_secs(120)))),
        (MODIFIED, Some(RetryAfter::Until(784_111_777))),
        ("soon", None),
        ("-5", None),
    ] {
        let Err(Trouble::Passing(passing)) = first(status(503), &head(&[("retry-after", value)]), None) else {
            panic!("{value}")
        };
        assert_eq!(passing.retry_after, expected, "{value}");
        assert!(passing.failure.is_transient());
    }
    assert_eq!(RetryAfter::Until(1000).delay(990), Duration::from_secs(10));
    assert_eq!(RetryAfter::Until(1000).delay(1010), Duration::ZERO);
}

#[test]
fn an_encoding_nobody_asked_for_is_refused_by_name_unless_it_is_the_files_own() {
    for (label, path, accepted) in [
        ("identity", "/disk.img", true),
        ("gzip", "/disk.img", false),
        ("gzip", "/disk.img.gz", true),
        ("X-GZIP", "/disk.IMG.GZ", true),
        ("gzip", "/disk.zst", false),
        ("zstd", "/disk.zst", true),
        ("br", "/disk.br", false),
        ("gzip, gzip", "/disk.gz", false),
    ] {
        let checked = check_encoding(&head(&[("content-encoding", label)]), path);
        assert_eq!(checked.is_ok(), accepted, "{label} {path}");
        if let Err(failure) = checked {
            assert!(failure.what().contains(&label.to_ascii_lowercase()), "{failure}");
        }
    }
}

#[test]
fn a_later_part_must_begin_where_asked_and_may_be_shorter() {
    let answer = |range: &str| part(status(206), &head(&[("content-range", range)]), &(100..200), &known());
    assert_eq!(answer("bytes 100-199/1000").unwrap(), 200);
    assert_eq!(answer("bytes 100-149/1000").unwrap(), 150);
    for lie in
        ["bytes 0-99/1000", "bytes 101-199/1000", "bytes 100-200/1000", "bytes 100-199/*", "bytes */1000", "nonsense"]
    {
        assert_eq!(code(answer(lie).unwrap_err()), ("final", Code::SourceHttp), "{lie}");
    }
    assert!(part(status(206), &head(&[]), &(100..200), &known()).is_err());
    let several =
        head(&[("content-range", "bytes 100-199/1000"), ("content-type", "multipart/byteranges; boundary=x")]);
    assert!(part(status(206), &several, &(100..200), &known()).is_err());
}

#[test]
fn other_validators_or_another_length_mean_a_changed_source() {
    for headers in [
        head(&[("content-range", "bytes 100-199/1001")]),
        head(&[("content-range", "bytes 100-199/1000"), ("etag", "\"other\"")]),
        head(&[("content-range", "bytes 100-199/1000"), ("last-modified", "Mon, 07 Nov 1994 08:49:37 GMT")]),
    ] {
        assert_eq!(
            code(part(status(206), &headers, &(100..200), &known()).unwrap_err()),
            ("final", Code::SourceChanged),
            "{headers:?}"
        );
    }
    let same = head(&[("content-range", "bytes 100-199/1000"), ("etag", TAG), ("last-modified", MODIFIED)]);
    assert!(part(status(206), &same, &(100..200), &known()).is_ok());
}

#[test]
fn the_whole_content_instead_of_a_part_means_changed_unless_the_validator_is_the_same() {
    let answer =
        |headers: &HeaderMap, facts: &Facts| code(part(status(200), headers, &(100..200), facts).unwrap_err()).1;
    assert_eq!(answer(&head(&[]), &known()), Code::SourceChanged);
    assert_eq!(answer(&head(&[("etag", "\"other\"")]), &known()), Code::SourceChanged);
    assert_eq!(answer(&head(&[("etag", TAG)]), &known()), Code::SourceHttp);
    assert_eq!(answer(&head(&[]), &Facts { tag: None, modified: None, ..known() }), Code::SourceHttp);
}

#[test]
fn a_range_that_is_gone_means_a_changed_length_or_a_lie() {
    let answer = |headers: &HeaderMap| code(part(status(416), headers, &(100..200), &known()).unwrap_err()).1;
    assert_eq!(answer(&head(&[("content-range", "bytes */50")])), Code::SourceChanged);
    assert_eq!(answer(&head(&[("content-range", "bytes */1000")])), Code::SourceHttp);
    assert_eq!(answer(&head(&[])), Code::SourceHttp);
}

#[test]
fn a_whole_content_that_comes_again_must_be_provably_the_same() {
    let again = |pairs: &[(&str, &str)], facts: &Facts| {
        whole(status(200), &head(pairs), facts).map_err(|trouble| code(trouble).1)
    };
    let dated = Facts { tag: None, ..known() };
    assert_eq!(again(&[("content-length", "1000"), ("etag", TAG)], &known()), Ok(()));
    assert_eq!(again(&[("content-length", "1000"), ("last-modified", MODIFIED)], &dated), Ok(()));
    for pairs in [
        &[("content-length", "999"), ("etag", TAG)][..],
        &[("content-length", "1000"), ("etag", "\"other\"")],
        &[("content-length", "1000")],
        &[("etag", TAG)],
    ] {
        assert_eq!(again(pairs, &known()), Err(Code::SourceChanged), "{pairs:?}");
    }
}

#[test]
fn the_identity_is_a_strong_tag_or_a_date_with_a_length() {
    let identity = |pairs: &[(&str, &str)]| match first(status(200), &head(pairs), None).unwrap() {
        First::Whole(facts) => facts.identity(),
        other => panic!("{other:?}"),
    };
    let dated = Some(format!("modified:{MODIFIED};length:5"));
    assert_eq!(identity(&[("etag", TAG)]), Some(format!("etag:{TAG}")));
    assert_eq!(identity(&[("etag", "W/\"abc\""), ("last-modified", MODIFIED), ("content-length", "5")]), dated);
    assert_eq!(identity(&[("etag", "abc"), ("last-modified", MODIFIED), ("content-length", "5")]), dated);
    assert_eq!(
        identity(&[("last-modified", MODIFIED), ("content-length", "5"), ("date", "Sun, 06 Nov 1994 08:49:38 GMT")]),
        dated
    );
    assert_eq!(
        identity(&[("last-modified", MODIFIED), ("content-length", "5"), ("date", MODIFIED)]),
        None,
        "it may change within that second"
    );
    assert_eq!(identity(&[("last-modified", "yesterday"), ("content-length", "5")]), None);
    assert_eq!(identity(&[("last-modified", MODIFIED)]), None);
    assert_eq!(identity(&[("etag", "W/\"abc\""), ("content-length", "5")]), None);
    assert_eq!(identity(&[("etag", &format!("\"{}\"", "x".repeat(LONGEST_TAG)))]), None);
}

#[test]
fn a_web_page_is_recognised() {
    for (kind, is_page) in [
        ("text/html; charset=utf-8", true),
        ("Text/HTML", true),
        ("application/xhtml+xml", true),
        ("application/x-qemu-disk", false),
    ] {
        let First::Whole(facts) = first(status(200), &head(&[("content-type", kind)]), None).unwrap() else {
            panic!("{kind}")
        };
        assert_eq!(facts.is_page, is_page, "{kind}");
    }
}

proptest::proptest! {
    /// Whatever a server writes into the headers that are read, it is taken or refused in words.
    #[test]
    fn no_header_brings_a_reader_down(
        status in 100u16..600,
        range in "(bytes )?[-0-9 */+]{0,44}|.{0,20}",
        date in "[A-Z][a-z]{2}, [0-9]{1,3} (Jan|Feb|Dec|Foo) [0-9]{1,5} [0-9:]{3,10} GMT|.{0,30}",
        number in "[0-9]{0,22}|.{0,8}",
    ) {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes()) {
                headers.insert(name, value);
            }
        };
        put(header::CONTENT_RANGE, &range);
        put(header::LAST_MODIFIED, &date);
        put(header::DATE, &date);
        put(header::RETRY_AFTER, if number.len() % 2 == 0 { &date } else { &number });
        put(header::CONTENT_LENGTH, &number);
        put(header::ETAG, &range);
        put(header::CONTENT_ENCODING, &number);
        let (asked, status) = (100..200, StatusCode::from_u16(status).unwrap());
        if let Ok(First::Part(facts, len)) = first(status, &headers, Some(&asked)) {
            assert!(len <= 100 && facts.length.is_some_and(|length| length >= len));
        }
        if let Ok(end) = part(status, &headers, &asked, &known()) {
            assert!(end > 100 && end <= 200);
        }
        let _ = whole(status, &headers, &known());
        let _ = check_encoding(&headers, "/disk.img.gz");
    }
}
