//! The client against a node that is made of a map and a script: what travels, and what each failure
//! on the way is taken for.

#![forbid(unsafe_code)]

mod caches;
mod cursors;
mod documents;
mod failures;
mod fake;
mod pins;
mod reads;
mod sessions;
mod statuses;
mod told;
mod watches;
mod writers;
