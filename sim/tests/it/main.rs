//! Scenarios on the production core over the models: what each rule of the protocol is for.

#![forbid(unsafe_code)]

mod exactness;
mod fixture;
mod known_plans;
mod partitions;
mod plan_text;
mod reads;
mod restore;
mod store_faults;
mod writes;
