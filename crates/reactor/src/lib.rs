//! Readiness, time and wake-ups. Knows no tasks.
