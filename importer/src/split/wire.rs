//! Messages between two processes: one JSON document per packet, with open descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest message in bytes: a report with all its warnings is a tenth of this.
const LARGEST: usize = 128 << 10;
/// Most descriptors beside one message.
pub(super) const DESCRIPTORS: usize = 16;

/// One end of a connection.
pub(super) struct Channel {
    socket: OwnedFd,
    /// Where a message arrives.
    buffer: Mutex<Vec<u8>>,
}

impl Channel {
    /// Two ends.
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self::from(ours), Self::from(theirs)))
    }

    /// Sends a message.
    pub(super) fn send(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        if text.len() > LARGEST {
            return Err(io::Error::other(format!("a message of {} bytes; at most {LARGEST} are sent", text.len())));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many descriptors beside a message"));
        }
        sendmsg(&self.socket, &[IoSlice::new(&text)], &mut beside, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for a message; `None` once the other end is gone.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.resize(LARGEST, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            recvmsg(&self.socket, &mut [IoSliceMut::new(&mut buffer)], &mut beside, RecvFlags::CMSG_CLOEXEC)
        })?;
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::other(format!("a message of more than {LARGEST} bytes")));
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        let mut descriptors = Vec::new();
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        Ok(Some((serde_json::from_slice(&buffer[..received.bytes])?, descriptors)))
    }
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self { socket, buffer: Mutex::default() }
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.socket
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    #[test]
    fn messages_keep_their_borders_and_carry_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "inside").unwrap();
        one.send(&"first", &[]).unwrap();
        one.send(&vec![1, 2], &[file.as_file().as_fd()]).unwrap();
        let (first, none) = other.receive::<String>().unwrap().unwrap();
        assert_eq!((first.as_str(), none.len()), ("first", 0));
        let (second, mut files) = other.receive::<Vec<u32>>().unwrap().unwrap();
        assert_eq!((second, files.len()), (vec![1, 2], 1));
        let mut text = String::new();
        File::from(files.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        drop(one);
        assert!(other.receive::<String>().unwrap().is_none());
    }

    #[test]
    fn what_is_too_large_is_not_sent() {
        let (one, _other) = Channel::pair().unwrap();
        assert!(one.send(&"x".repeat(LARGEST), &[]).is_err());
    }
}
