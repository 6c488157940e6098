# Runs PROGRAM on the folder VECTORS, or says that there is none.
if(NOT EXISTS "${VECTORS}")
  message(STATUS "golden vectors skipped: no folder ${VECTORS}")
  return()
endif()
execute_process(COMMAND "${PROGRAM}" "${VECTORS}" RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "golden_check failed: ${result}")
endif()
