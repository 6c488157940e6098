# Install rules: headers, the exported target, and a package that find_package(spiq) reads.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(spiq_cmake_dir "${CMAKE_INSTALL_DATADIR}/cmake/spiq")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/spiq" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.hpp")
install(TARGETS spiq EXPORT spiqTargets INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT spiqTargets NAMESPACE spiq:: DESTINATION "${spiq_cmake_dir}")

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/spiqConfig.cmake.in" "${PROJECT_BINARY_DIR}/spiqConfig.cmake"
  INSTALL_DESTINATION "${spiq_cmake_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/spiqConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
  "${PROJECT_BINARY_DIR}/spiqConfig.cmake"
  "${PROJECT_BINARY_DIR}/spiqConfigVersion.cmake"
  "${CMAKE_CURRENT_LIST_DIR}/SpiqDependencies.cmake"
  DESTINATION "${spiq_cmake_dir}")
