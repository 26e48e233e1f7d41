//! Black-box tests over HTTP against the built gateway, with real clients.
#![allow(clippy::unwrap_used, missing_docs)] // Tests may.

mod attack;
mod aws_cli;
mod cli;
mod client;
mod clients;
mod cluster;
mod condition_keys;
mod conditional;
mod crash;
mod damage;
mod differential;
mod doubt;
mod faults;
mod federation;
mod golden_folder;
mod guesses;
mod host;
mod iam;
mod identities;
mod kms;
mod matrix;
mod migrate;
mod models;
mod places;
mod raw;
mod rebuild;
mod recorded;
mod refusals;
mod roots;
mod s3;
mod secrets;
mod sending;
mod several;
mod wire;
mod work;
