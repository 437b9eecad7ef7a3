// The host's log: levels by name. What is written goes nowhere.
#pragma once

#define DLOG_DEBUG 0
#define DLOG_INFO 1
#define DLOG_WARN 2
#define DLOG_ERROR 3

#define dlog_error(...)
#define dlog_warn(...)
#define dlog_info(...)
#define dlog_debug(...)
