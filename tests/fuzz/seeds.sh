#!/bin/sh
# Writes the seeds in corpus/ anew, each at most 8 KiB (of qed, whose tables have whole clusters, 24 KiB), with qemu-img,
# qemu-io, gzip, bzip2, xz, zstd, lz4, tar, zip and python.
set -eu
cd "$(dirname "$0")"
rm -rf corpus
for target in probe qcow2_header qcow2_map qcow2_stream vdi vhd qed vhdx vmdk gzip bzip2 xz zstd lz4 cluster deflate container_tar container_zip manifest; do mkdir -p "corpus/$target"; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# image NAME OPTIONS SIZE COMMAND...
image() {
    name=$1 options=$2 size=$3
    shift 3
    qemu-img create -q -f qcow2 -o "$options" "$work/$name" "$size"
    for command in "$@"; do qemu-io -f qcow2 -d unmap -c "$command" "$work/$name" >"$work/log"; done
    # What nothing points at may end the file; tables and data of these images come first.
    head -c 8192 "$work/$name" >"$work/cut"
    for target in qcow2_map qcow2_stream; do cp "$work/cut" "corpus/$target/$name"; done
    head -c 512 "$work/$name" >"corpus/qcow2_header/$name"
}

image empty cluster_size=512 32K
image data cluster_size=512 32K 'write -P 1 0 512' 'write -P 2 4096 1024'
image zeros cluster_size=512 32K 'write -P 1 0 1K' 'write -z 512 512' 'discard 0 512'
image version2 cluster_size=512,compat=0.10 32K 'write -P 1 1024 512'
image deflate cluster_size=512 32K 'write -c -P 1 0 512' 'write -c -P 2 512 512'
image zstd cluster_size=512,compression_type=zstd 32K 'write -c -P 1 0 512' 'write -c -P 2 20480 512'
image two-tables cluster_size=512 128K 'write -P 1 0 512' 'write -P 2 65536 512'
qemu-img create -q -f qcow2 -o cluster_size=512,lazy_refcounts=on "$work/bitmaps" 32K
qemu-img bitmap --add "$work/bitmaps" one
head -c 512 "$work/bitmaps" >corpus/qcow2_header/bitmaps
qemu-img create -q -f qcow2 -b /dev/null -F raw -o cluster_size=512 "$work/backed" 32K
head -c 512 "$work/backed" >corpus/qcow2_header/backed

# seed FORMAT NAME OPTIONS SIZE COMMAND...: blocks are large, but are needed as far as the disk goes only.
seed() {
    format=$1 name=$2 options=$3 size=$4
    shift 4
    driver=$format
    [ "$format" = vdi ] || driver=vpc
    qemu-img create -q -f "$driver" -o "$options" "$work/$name" "$size"
    for command in "$@"; do qemu-io -f "$driver" -c "$command" "$work/$name" >"$work/log"; done
    head -c 4096 "$work/$name" >"corpus/$format/$name"
}

seed vdi empty static=off 2M
seed vdi data static=off 1K 'write -P 1 0 512'
seed vdi static static=on 1K 'write -P 2 512 512'
seed vhd dynamic force_size=on 4M
seed vhd block force_size=on 1K 'write -P 1 0 512'
seed vhd fixed subformat=fixed,force_size=on 1K 'write -P 1 0 512'
head -c 1535 "corpus/vhd/fixed" >corpus/vhd/short-footer
# qed NAME COMMAND...
qed() {
    name=$1
    shift
    qemu-img create -q -f qed -o cluster_size=4096,table_size=2 "$work/$name.qed" 32K
    for command in "$@"; do qemu-io -f qed -c "$command" "$work/$name.qed" >"$work/log"; done
    cp "$work/$name.qed" "corpus/qed/$name"
}
qed empty
qed data 'write -P 1 0 4K'
qed zeros 'write -P 1 0 4K' 'write -z 4K 4K'

# Patches of the base image of the target: flags, then offset (4 bytes), length (1 byte) and bytes of each.
printf '\001' >corpus/vhdx/base
# A block at 4 MiB.
printf '\001\000\000\040\000\010\006\000\100\000\000\000\000\000' >corpus/vhdx/data
# The log's identifier in both headers, and an entry at its beginning that zeros the first sector of the BAT.
printf '\003\060\000\001\000\001\007\060\000\002\000\001\007\000\000\020\000\020loge\000\000\000\000\000\020\000\000\000\000\000\000' >corpus/vhdx/log
printf '\020\000\020\000\014\001\000\000\000\000\000\000\000\001\000\000\000\040\000\020\000\001\007' >>corpus/vhdx/log
printf '\100\000\020\000\040zero\000\000\000\000\000\020\000\000\000\000\000\000\000\000\040\000\000\000\000\000\001\000\000\000\000\000\000\000' >>corpus/vhdx/log

printf 'hello hello hello hello' >"$work/text"
gzip -n -9 <"$work/text" >corpus/gzip/one
gzip -9 <"$work/text" | cat corpus/gzip/one - >corpus/gzip/two
head -c 100000 /dev/zero | gzip -n >corpus/gzip/zeros
gzip -n -1 <"$0" >corpus/gzip/script
bzip2 -9 <"$work/text" >corpus/bzip2/one
bzip2 -1 <"$0" >corpus/bzip2/script
head -c 100000 /dev/zero | bzip2 | cat corpus/bzip2/one - >corpus/bzip2/two
head -c 3 /dev/zero | cat corpus/bzip2/one - >corpus/bzip2/padded
xz -0 <"$work/text" >corpus/xz/one
xz -T1 -0 --check=sha256 --block-size=1000 <"$0" >corpus/xz/blocks
xz -T2 -0 --check=none --block-size=1000 <"$0" >corpus/xz/sized-blocks
head -c 4 /dev/zero | cat corpus/xz/one - corpus/xz/one >corpus/xz/padded
head -c 100000 /dev/zero | xz --check=crc32 --x86 --delta --lzma2=preset=0 >corpus/xz/filters
zstd -q <"$work/text" >corpus/zstd/one
cat corpus/zstd/one corpus/zstd/one >corpus/zstd/two
printf '\120\052\115\030\003\0\0\0abc' | cat - corpus/zstd/one >corpus/zstd/skippable
head -c 100000 /dev/zero | zstd -q --check >corpus/zstd/zeros
zstd -q -19 <"$0" >corpus/zstd/script
lz4 -q <"$work/text" >corpus/lz4/one
lz4 -q -BD -BX -B4 <"$0" >corpus/lz4/script
lz4 -q --content-size -c "$work/text" | cat - corpus/zstd/skippable corpus/lz4/one >corpus/lz4/sized
head -c 100000 /dev/zero | lz4 -q -l | cat - corpus/lz4/one >corpus/lz4/legacy
printf '\001\000' | cat - corpus/zstd/one >corpus/cluster/zstd
{ printf '\000\000' && head -c 512 /dev/zero | gzip -n | tail -c +11; } >corpus/cluster/deflate

# qemu's smallest VMDK has 64 KiB, so these are written byte by byte: two grains of 512 bytes, one of zeros and one that is
# not there, tables of two entries.
python3 - corpus <<'END'
import struct, sys, zlib

def header(compressed, directory, overhead):
    flags = 5 | (0x30000 if compressed else 0)
    fields = struct.pack('<4sIIQQQQIQQQB4sH', b'KDMV', 3, flags, 4, 1, 1, 1, 2, 0, directory, overhead, 0, b'\n \r\n', compressed)
    return fields.ljust(512, b'\0')

def sectors(*parts):
    return b''.join(part.ljust(-len(part) // 512 * -512, b'\0') for part in parts)

def grain(number, byte):
    data = zlib.compress(byte * 512)
    return struct.pack('<QI', number, len(data)) + data

def marker(value, kind):
    return struct.pack('<QII', value, 0, kind).ljust(512, b'\0')

table = lambda *entries: struct.pack('<II', *entries)
text = b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="%s"\nRW 4 SPARSE "x"\n'
sparse, stream = text % b'monolithicSparse', text % b'streamOptimized'
front = table(3, 4), table(5, 1), table(0, 6)
one, two = grain(0, b'a'), grain(3, b'b')
behind = [one, marker(1, 1), table(2, 1), two, marker(1, 1), table(0, 5), marker(1, 2), table(4, 7), marker(1, 3)]
seeds = {
    'sparse': sectors(header(0, 2, 5), sparse, *front, b'a' * 512, b'b' * 512),
    'front': sectors(header(1, 2, 5), stream, *front, one, two),
    'footer': sectors(header(1, 2 ** 64 - 1, 2), stream, *behind, header(1, 9, 2), marker(0, 0)),
    'bare': sectors(header(1, 2, 5).replace(b'\5\0\3\0', b'\5\0\1\0', 1), stream, *front, one[12:], two[12:]),
    'descriptor': sparse.replace(b'SPARSE "x"', b'FLAT "x-flat.vmdk" 0'),
}
for name, seed in seeds.items():
    with open(f'{sys.argv[1]}/vmdk/{name}', 'wb') as file:
        file.write(seed)
END
{ printf '\002\000' && python3 -c 'import sys, zlib; sys.stdout.buffer.write(zlib.compress(bytes(512)))'; } >corpus/cluster/zlib

# Archives of a small disk, `a`, or `a.raw` where nobody names it.
(
    cd "$work"
    mkdir members
    cd members
    printf 'the disk' >a.raw
    cp a.raw a
    printf 'read me' >notes
    long=$(printf 'n%.0s' $(seq 120))
    cp notes "$long"
    printf '<Envelope/>' >x.ovf
    printf 'SHA256(a.raw)= %s\n' "$(sha256sum <a.raw | cut -c-64)" >x.mf
    printf 'SHA1(a b.vmdk) = %s\nSHA-512(c)= 00\n' "$(sha1sum <a.raw | cut -c-40)" >y.mf
    for format in ustar gnu pax v7; do
        tar --format=$format -b1 -cf "../$format.tar" notes a.raw
    done
    tar --format=gnu -b1 -cf ../long.tar "$long" a
    tar --format=pax -b1 -cf ../pax-long.tar "$long" a
    tar --format=ustar -b1 -cf ../ova.tar x.ovf x.mf a.raw
    tar --format=ustar -b1 -cf ../late.tar x.ovf a.raw x.mf
    tar --format=gnu -b1 -S -cf ../two.tar a a.raw
    zip -q -X ../deflated.zip notes a.raw
    zip -q -X -0 ../stored.zip notes a
    zip -q - notes a.raw | cat >../piped.zip
    zip -q -X -0 ../two.zip a a.raw
)
for tar in "$work"/*.tar; do cp "$tar" "corpus/container_tar/$(basename "$tar" .tar)"; done
for zip in "$work"/*.zip; do cp "$zip" "corpus/container_zip/$(basename "$zip" .zip)"; done
python3 - corpus <<'END'
import io, sys, zipfile

class Pipe(io.RawIOBase):
    def __init__(self): self.bytes = b''
    def writable(self): return True
    def write(self, data):
        self.bytes += data
        return len(data)

pipe = Pipe()
with zipfile.ZipFile(pipe, 'w', zipfile.ZIP_DEFLATED) as archive:
    with archive.open('a.raw', 'w', force_zip64=True) as member:
        member.write(b'the disk')
with open(f'{sys.argv[1]}/container_zip/zip64', 'wb') as file:
    file.write(pipe.bytes)
END
cp "$work"/members/*.mf corpus/manifest
gzip -n -9 <"$work/text" | tail -c +11 | head -c -8 >corpus/deflate/one
gzip -n -1 <"$0" | tail -c +11 >corpus/deflate/script
head -c 100000 /dev/zero | gzip -n | tail -c +11 >corpus/deflate/zeros

cp corpus/gzip/one corpus/probe/gzip
cp corpus/zstd/skippable corpus/probe/zstd
cp corpus/qcow2_header/empty corpus/probe/qcow2
cp corpus/vdi/empty corpus/probe/vdi
cp corpus/vhd/dynamic corpus/probe/vhd
cp corpus/vmdk/sparse corpus/probe/vmdk
