//! Servers whose clocks step.
