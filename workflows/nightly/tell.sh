#!/bin/sh
# Told of what happens; what it prints is in notify.log of the run.
echo "$QTUI_EVENT $QTUI_RUN $QTUI_UNIT"
