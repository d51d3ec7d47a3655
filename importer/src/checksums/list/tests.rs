//! Lists as publishers write them, and lists that give nothing.

use super::*;

const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";
const SHA1: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
const A: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const B: &str = "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a";
const SHA512: &str = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                      47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

#[track_caller]
fn chosen(text: &str) -> Chosen {
    choose(text, Some("disk.img")).unwrap_or_else(|failure| panic!("{text}: {failure}"))
}

#[test]
fn every_form_that_publishers_use_is_read() {
    for (text, expected, line) in [
        (format!("{B}  other.img\n{A}  disk.img\n"), format!("sha256:{A}"), 2),
        (format!("{A} *disk.img\r\n{B} *other.img\r\n"), format!("sha256:{A}"), 1),
        (format!("{A}\tdisk.img"), format!("sha256:{A}"), 1),
        (format!("{SHA512}  disk.img"), format!("sha512:{SHA512}"), 1),
        (format!("# disk.img: 417333248 bytes\nSHA256 (disk.img) = {A}\n"), format!("sha256:{A}"), 2),
        (format!("SHA2-256(disk.img)= {A}\n"), format!("sha256:{A}"), 1),
        (format!("sha-512 (disk.img) = {SHA512}\n"), format!("sha512:{SHA512}"), 1),
        (format!("SHA256 (disk (1).img) = {B}\nSHA256 (disk.img) = {A}\n"), format!("sha256:{A}"), 2),
        (format!("{MD5}  disk.img\n{SHA1}  disk.img\n"), format!("sha1:{SHA1}"), 2),
        (format!("# BLAKE2B HASH\n{SHA512}  disk.img\n# SHA256 HASH\n{A}  disk.img\n"), format!("sha256:{A}"), 4),
        (format!("\n{}\n", A.to_uppercase()), format!("sha256:{A}"), 2),
        (format!("{A}  -\n"), format!("sha256:{A}"), 1),
        (format!("{A}  disk.img\n{A}  disk.img\n"), format!("sha256:{A}"), 2),
    ] {
        let Chosen { checksum, line: found, is_signed } = chosen(&text);
        assert_eq!((checksum.to_string(), found, is_signed), (expected, line, false), "{text}");
    }
}

#[test]
fn the_exact_name_goes_before_the_end_of_a_path() {
    assert_eq!(chosen(&format!("{B}  old/disk.img\n{A}  ./disk.img\n")).line, 2);
    assert_eq!(chosen(&format!("{B}  old/other.img\n{A}  new/disk.img\n")).line, 2);
}

#[test]
fn a_name_with_escapes_is_the_name_without() {
    let text = format!("\\{A}  a\\\\b\\nc\n{B}  other\n");
    assert_eq!(choose(&text, Some("a\\b\nc")).unwrap().line, 1);
}

#[test]
fn of_a_signed_message_only_what_was_signed_is_read() {
    let signed = |inside: &str| format!("{B}  disk.img\n{SIGNED}\nHash: SHA256\n\n{inside}{SIGNATURE}\n\niQIz\n");
    let text = format!("{}{B}  disk.img\n", signed(&format!("- -- list\n{A}  disk.img\n")));
    let Chosen { checksum, line, is_signed } = chosen(&text);
    assert_eq!((checksum.to_string(), line, is_signed), (format!("sha256:{A}"), 6, true));
    assert!(fault(&signed("")).contains("no checksum"));
    assert!(fault(&format!("{SIGNED}\nHash: SHA256\n\n{A}  disk.img\n")).contains("no end"));
}

#[track_caller]
fn fault(text: &str) -> String {
    let failure = choose(text, Some("disk.img")).unwrap_err();
    assert_eq!(failure.code(), Code::ChecksumList);
    failure.to_string()
}

#[test]
fn a_list_that_gives_nothing_says_why() {
    let many: String = (0..9).map(|number| format!("{A}  {number}.img\n")).collect();
    for (text, what) in [
        (String::new(), "holds no checksum"),
        ("<html>not found</html>".to_owned(), "holds no checksum"),
        (format!("{}  disk.img", &A[..31]), "holds no checksum"),
        (
            format!("{A}  disk.img.xz\n{A}  mydisk.img\n"),
            "no line for \"disk.img\", only for \"disk.img.xz\", \"mydisk.img\"",
        ),
        (many, "\"4.img\", …"),
        (format!("{A}\n{B}\n"), "no line for"),
        (format!("{A}  disk.img\n{B}  x/disk.img\n{B}  disk.img\n"), "lines 1 and 3 disagree"),
        (format!("{A}{}  disk.img\n", &A[..32]), "one of 96 digits, none of md5"),
        (format!("SHA512/256 (disk.img) = {A}\nBLAKE3 (disk.img) = {A}\n"), "BLAKE3, SHA512/256, none of md5"),
        (format!("MD5 (disk.img) = {A}\n"), "algorithm is MD5"),
    ] {
        assert!(fault(&text).contains(what), "{text}: {}", fault(&text));
    }
    let nameless = choose(&format!("{A}  a\n{B}  b\n"), None).unwrap_err();
    assert!(nameless.what().contains("no name to look for"), "{nameless}");
    assert_eq!(choose(A, None).unwrap().line, 1);
}

proptest::proptest! {
    /// Any text gives a checksum or a reason, and what is chosen stands in it.
    #[test]
    fn any_text_is_read(lines in proptest::collection::vec(r"(\\|# |- )?([0-9a-f]{32,64}|SHA256|-----BEGIN PGP SIGNED MESSAGE-----)?[ \t(*=)\\]{0,3}\PC{0,12}", 0..8)) {
        let text = lines.join("\n");
        if let Ok(Chosen { checksum, line, .. }) = choose(&text, Some("disk.img")) {
            let hex = checksum.to_string().split_once(':').unwrap().1.to_owned();
            proptest::prop_assert!(text.lines().nth(line - 1).unwrap().to_lowercase().contains(&hex));
        }
    }
}
