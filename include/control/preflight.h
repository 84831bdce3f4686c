/*
 * preflight: what a start with this configuration would meet, for -t. It takes
 * nothing from a running evproxy and changes nothing but this process, which
 * becomes the configured user if it can. Control thread, before any other
 * starts.
 *
 * As the service: the process runs as the unit runs the service, so that what
 * it may not do the service may not do either. Otherwise the user that runs -t
 * may have fewer rights than the service: addresses that need more rights are
 * passed over. The dates of certificates are left out as the service,
 * since a reload takes any.
 */
#ifndef EVPROXY_CONTROL_PREFLIGHT_H
#define EVPROXY_CONTROL_PREFLIGHT_H

#include "base/text.h"
#include "config/config.h"
#include "config/errors.h"
#include "control/source.h"
#include "service/resolution.h"

#include <stdbool.h>

/* The configuration is what the source has. -1: errors are added (none only if
 * there is no memory for any). */
int preflight(const struct source *source, const struct config *config,
              bool as_service, struct config_errors *errors) WARN_UNUSED;

/* Adds the capacity report (control/capacity.h) of a start within the limits of
 * this process. -1 with errno = ENOMEM. */
int preflight_report(const struct config *config,
                     const struct resolution_names *names,
                     struct text *text) WARN_UNUSED;

#endif
