//! Moves a disk from a source to a target volume: fetch, decode, find zeros, write, sync, journal, fingerprint.

mod bits;
pub mod cancel;
pub mod checksum;
mod engine;
pub mod failure;
mod fetch;
pub mod fingerprint;
pub mod inspect;
pub mod journal;
pub mod look;
mod parts;
pub mod plan;
mod pool;
pub mod progress;
mod rate;
mod route;
pub mod size;
pub mod source;
mod stage;
mod stop;
pub mod target;
mod tracker;
pub mod transfer;
mod volume;
pub mod walker;
mod worker;
pub mod zero;
