# What spiq needs, as targets of its own: spiq::xsimd, spiq::eigen, spiq::zlib, and on request spiq::openmp.
# Read by the source tree and by the installed package alike. The targets are imported (so their headers count as
# system headers) and global (so that a project that adds spiq as a subdirectory sees them too).

set(SPIQ_ZLIB AUTO CACHE STRING "Read and write compressed files with zlib: AUTO (when found), ON, OFF")
set_property(CACHE SPIQ_ZLIB PROPERTY STRINGS AUTO ON OFF)
set(SPIQ_OPENMP AUTO CACHE STRING "Offer the target spiq::openmp: AUTO (when found), ON, OFF")
set_property(CACHE SPIQ_OPENMP PROPERTY STRINGS AUTO ON OFF)

# xsimd, 8.1 or later. Only its include directory is taken: Debian 12's package tells users to link a library xtl that
# it does not ship. Its version file accepts one major version only, therefore the range is tested here.
if(NOT TARGET spiq::xsimd)
  if(NOT TARGET xsimd)
    find_package(xsimd QUIET)
  endif()
  set(spiq_xsimd_include)
  if(TARGET xsimd)
    get_target_property(spiq_xsimd_include xsimd INTERFACE_INCLUDE_DIRECTORIES)
  endif()
  if(NOT spiq_xsimd_include)
    find_path(SPIQ_XSIMD_INCLUDE_DIR xsimd/xsimd.hpp)
    set(spiq_xsimd_include "${SPIQ_XSIMD_INCLUDE_DIR}")
  endif()
  if(NOT spiq_xsimd_include)
    message(FATAL_ERROR "spiq needs xsimd 8.1 or later (Debian: libxsimd-dev); it was not found")
  endif()
  if(xsimd_VERSION AND xsimd_VERSION VERSION_LESS 8.1)
    message(FATAL_ERROR "spiq needs xsimd 8.1 or later; found ${xsimd_VERSION}")
  elseif(xsimd_VERSION AND xsimd_VERSION VERSION_GREATER_EQUAL 15)
    message(WARNING "spiq was written for xsimd 8.1 to 14; found ${xsimd_VERSION}")
  endif()
  add_library(spiq::xsimd INTERFACE IMPORTED GLOBAL)
  set_target_properties(spiq::xsimd PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${spiq_xsimd_include}")
endif()

# Eigen 3.4, used only by headers that solve small dense systems: a program that includes none of them needs no Eigen,
# so its absence is not an error here.
if(NOT TARGET spiq::eigen)
  add_library(spiq::eigen INTERFACE IMPORTED GLOBAL)
  if(NOT TARGET Eigen3::Eigen)
    find_package(Eigen3 3.4 QUIET NO_MODULE)
  endif()
  if(TARGET Eigen3::Eigen)
    get_target_property(spiq_eigen_include Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
    set_target_properties(spiq::eigen PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${spiq_eigen_include}")
  else()
    message(STATUS "spiq: Eigen 3.4 not found; headers that solve dense systems will not compile")
  endif()
endif()

# zlib, for compressed data files.
if(NOT TARGET spiq::zlib)
  add_library(spiq::zlib INTERFACE IMPORTED GLOBAL)
  if(NOT SPIQ_ZLIB STREQUAL "OFF")
    find_package(ZLIB QUIET)
    if(ZLIB_FOUND)
      set_target_properties(spiq::zlib PROPERTIES
        INTERFACE_INCLUDE_DIRECTORIES "${ZLIB_INCLUDE_DIRS}"
        INTERFACE_LINK_LIBRARIES "${ZLIB_LIBRARIES}"
        INTERFACE_COMPILE_DEFINITIONS SPIQ_WITH_ZLIB=1)
    elseif(SPIQ_ZLIB STREQUAL "AUTO")
      message(STATUS "spiq: zlib not found; compressed files (.gz, deflated .npz) will be refused with an error")
    else()
      message(FATAL_ERROR "spiq: SPIQ_ZLIB=${SPIQ_ZLIB}, but zlib was not found (Debian: zlib1g-dev)")
    endif()
  endif()
endif()

# spiq::openmp is spiq::spiq with threads. It is a target of its own, because -fopenmp is a compile flag, and spiq::spiq
# has none.
macro(spiq_define_openmp)
  if(NOT TARGET spiq::openmp AND NOT SPIQ_OPENMP STREQUAL "OFF")
    find_package(OpenMP QUIET COMPONENTS CXX)
    if(OpenMP_CXX_FOUND)
      add_library(spiq::openmp INTERFACE IMPORTED GLOBAL)
      separate_arguments(spiq_openmp_flags NATIVE_COMMAND "${OpenMP_CXX_FLAGS}")
      set_target_properties(spiq::openmp PROPERTIES
        INTERFACE_COMPILE_OPTIONS "${spiq_openmp_flags}"
        INTERFACE_LINK_LIBRARIES "spiq::spiq;${OpenMP_CXX_LIBRARIES}")
      if(OpenMP_CXX_INCLUDE_DIRS)
        set_target_properties(spiq::openmp PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${OpenMP_CXX_INCLUDE_DIRS}")
      endif()
    elseif(SPIQ_OPENMP STREQUAL "AUTO")
      message(STATUS "spiq: OpenMP not found; no target spiq::openmp, everything runs on one thread")
    else()
      message(FATAL_ERROR "spiq: SPIQ_OPENMP=${SPIQ_OPENMP}, but OpenMP was not found")
    endif()
  endif()
endmacro()
