//! One encoded cluster: the first two bytes choose codec and cluster size, the rest is the encoded data.
//!
//! - A decoder that has been used, and may have failed, decodes as a new one does.
//! - Bytes that follow zstd frames or a zlib stream do not change what they decode to. (A deflate stream may fill the
//!   cluster before it ends, and then what follows belongs to it.)
#![no_main]

use codecs::{ClusterCodec, ClusterDecoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [codec, bits, encoded @ ..] = bytes else { return };
    let size = 512_u32 << (bits % 13);
    let codec = match codec % 3 {
        0 => ClusterCodec::Deflate,
        1 => ClusterCodec::Zstd,
        _ => ClusterCodec::Zlib { at_least: size },
    };
    let mut cluster = vec![0; size as usize];
    let mut decoder = ClusterDecoder::new();
    let first = decoder.decode(codec, encoded, &mut cluster);
    let decoded = cluster.clone();
    cluster.fill(0xa5);
    let again = decoder.decode(codec, encoded, &mut cluster);
    assert_eq!(first.is_ok(), again.is_ok());
    if first.is_ok() {
        assert!(decoded == cluster);
    }
    if first.is_ok() && codec != ClusterCodec::Deflate {
        let followed = [encoded, &[0xff; 100]].concat();
        assert!(ClusterDecoder::new().decode(codec, &followed, &mut cluster).is_ok() && decoded == cluster);
    }
});
